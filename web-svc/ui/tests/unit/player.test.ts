import { describe, expect, it } from 'vitest';
import { qualitiesOf, type VariantLike } from '../../src/lib/quality';
import { actionFor, belongsToControl } from '../../src/lib/shortcuts';

const press = (key: string, mods = {}) => ({ key, altKey: false, ctrlKey: false, metaKey: false, ...mods });
const track = (id: number, width: number, height: number, bandwidth: number, more = {}): VariantLike => ({
  id, width, height, bandwidth, active: false, frameRate: 30, ...more,
});

describe('keys', () => {
  it('control the player', () => {
    expect(actionFor(press(' '))).toEqual({ do: 'toggle-play' });
    expect(actionFor(press('K'))).toEqual({ do: 'toggle-play' });
    expect(actionFor(press('j'))).toEqual({ do: 'seek-by', seconds: -10 });
    expect(actionFor(press('ArrowRight'))).toEqual({ do: 'seek-by', seconds: 5 });
    expect(actionFor(press('7'))).toEqual({ do: 'seek-to', share: 0.7 });
    expect(actionFor(press('?'))).toEqual({ do: 'help' });
  });

  it('with a modifier belong to the browser', () => {
    expect(actionFor(press('f', { ctrlKey: true }))).toBeNull();
    expect(actionFor(press('l', { metaKey: true }))).toBeNull();
    expect(actionFor(press('ArrowLeft', { altKey: true }))).toBeNull();
  });

  it('go to the focused control where it needs them', () => {
    expect(belongsToControl('INPUT', 'search', '', 'k')).toBe(true);
    expect(belongsToControl('TEXTAREA', '', '', '?')).toBe(true);
    expect(belongsToControl('BUTTON', '', '', ' ')).toBe(true);
    expect(belongsToControl('BUTTON', '', '', 'm')).toBe(false);
    expect(belongsToControl('INPUT', 'range', '', 'ArrowUp')).toBe(true);
    expect(belongsToControl('INPUT', 'range', '', 'k')).toBe(false);
    expect(belongsToControl('DIV', '', 'menuitemradio', 'ArrowDown')).toBe(true);
    expect(belongsToControl('DIV', '', '', ' ')).toBe(false);
  });
});

describe('the quality menu', () => {
  it('lists each size once, best first', () => {
    const qualities = qualitiesOf([track(1, 256, 144, 200), track(2, 1280, 720, 2_000), track(3, 640, 360, 700), track(4, 1280, 720, 2_500)]);
    expect(qualities.map((quality) => quality.label)).toEqual(['720p', '360p', '144p']);
    expect(qualities[0]?.trackId).toBe(4);
  });

  it('marks a size as playing when any of its tracks plays', () => {
    const both = [track(1, 640, 360, 900), track(2, 640, 360, 700, { active: true })];
    expect(qualitiesOf(both)[0]?.active).toBe(true);
    expect(qualitiesOf(both.reverse())[0]?.active).toBe(true);
  });

  it('names portrait clips by their short side and high frame rates by number', () => {
    const labels = qualitiesOf([track(1, 608, 1080, 900), track(2, 1280, 720, 700, { frameRate: 59.94 })]).map((one) => one.label);
    expect(labels).toEqual(['720p60', '608p']);
  });

  it('is empty for sound alone', () => {
    expect(qualitiesOf([{ id: 1, width: null, height: null, bandwidth: 96_000, active: true }])).toEqual([]);
  });
});
