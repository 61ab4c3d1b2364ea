import { describe, expect, it } from 'vitest';
import * as format from '../../src/lib/format';

describe('durations', () => {
  it('are minutes and seconds, with hours only when there are some', () => {
    expect(format.formatDuration(7_000)).toBe('0:07');
    expect(format.formatDuration(754_400)).toBe('12:34');
    expect(format.formatDuration(3_723_000)).toBe('1:02:03');
  });

  it('round up into the next minute as a whole', () => {
    expect(format.formatDuration(59_700)).toBe('1:00');
    expect(format.formatDuration(3_599_900)).toBe('1:00:00');
  });

  it('are empty while unknown', () => {
    for (const unknown of [null, undefined, Number.NaN, -1, Infinity]) expect(format.formatDuration(unknown)).toBe('');
  });

  it('are spoken in words', () => {
    expect(format.speakDuration(3_661_000)).toBe('1 hour 1 minute 1 second');
    expect(format.speakDuration(120_000)).toBe('2 minutes');
    expect(format.speakDuration(0)).toBe('0 seconds');
  });
});

describe('sizes and rates', () => {
  it('keep three digits', () => {
    expect(format.formatBytes(0)).toBe('0 B');
    expect(format.formatBytes(999)).toBe('999 B');
    expect(format.formatBytes(1_024 * 14.3 * 1_024)).toBe('14.3 MiB');
    expect(format.formatBytes(5 * 1_024 ** 3)).toBe('5.00 GiB');
  });

  it('write bit rates in decimal units', () => {
    expect(format.formatBitrate(796_000)).toBe('796 kb/s');
    expect(format.formatBitrate(5_000_000)).toBe('5.0 Mb/s');
  });

  it('never show 100 % before the end, nor anything outside 0 to 100', () => {
    expect(format.formatPercent(0.999)).toBe('99 %');
    expect(format.formatPercent(1)).toBe('100 %');
    expect(format.formatPercent(7)).toBe('100 %');
    expect(format.formatPercent(Number.NaN)).toBe('0 %');
    expect(format.formatPercent(-1)).toBe('0 %');
  });
});

describe('dates', () => {
  const now_ms = Date.parse('2026-11-23T12:00:00Z');
  it('say how long ago, and give a date after a month', () => {
    expect(format.formatAgo('2026-11-23T11:59:40Z', now_ms, 'en')).toBe('just now');
    expect(format.formatAgo('2026-11-23T11:55:00Z', now_ms, 'en')).toBe('5 minutes ago');
    expect(format.formatAgo('2026-11-22T12:00:00Z', now_ms, 'en')).toBe('yesterday');
    expect(format.formatAgo('2026-01-02T12:00:00Z', now_ms, 'en')).toBe('January 2, 2026');
  });

  it('stay empty when they cannot be read', () => {
    expect(format.formatAgo('soon', now_ms)).toBe('');
    expect(format.formatDate('soon')).toBe('');
  });

  it('in the future, by a clock that runs ahead, count as now', () => {
    expect(format.formatAgo('2026-11-23T12:05:00Z', now_ms, 'en')).toBe('just now');
  });
});

describe('a title from a file name', () => {
  it('drops folders, extension and separators', () => {
    expect(format.titleFromFileName('Holiday_2026.final.mp4')).toBe('Holiday 2026 final');
    expect(format.titleFromFileName('C:\\clips\\dog.mov')).toBe('dog');
    expect(format.titleFromFileName('../../x.mp4')).toBe('x');
  });

  it('keeps markup and whole emoji, within the limit, and is never empty', () => {
    expect(format.titleFromFileName('<b>"hi".mp4')).toBe('<b>"hi"');
    expect(format.titleFromFileName('😀'.repeat(400) + '.mp4')).toBe('😀'.repeat(300));
    expect(format.titleFromFileName('.mp4')).toBe('Untitled video');
    expect(format.titleFromFileName('...mp4')).toBe('Untitled video');
  });
});
