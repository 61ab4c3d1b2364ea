import { describe, expect, it } from 'vitest';
import { appendPage, refreshStart } from '../../src/lib/library';
import type { Video, VideoState } from '../../src/lib/video';

function video(id: string, state: VideoState = 'ready'): Video {
  return {
    id, state, title: id, description: '', playable: state === 'ready', progress: 0, renditions: [], captions: [],
    visibility: 'public', created_at: '2026-11-23T12:00:00Z', original_bytes: 1,
  };
}
const ids = (items: Video[]): string => items.map((item) => item.id).join('');
const list = (names: string): Video[] => [...names].map((name) => video(name));

describe('the next page', () => {
  it('follows the ones shown, without repeating a video that moved', () => {
    expect(ids(appendPage(list('abc'), { items: list('cde'), next_cursor: null }))).toBe('abcde');
  });
});

describe('a refresh', () => {
  it('shows new, changed and deleted videos of the beginning and keeps what was loaded beyond', () => {
    const shown = { items: [video('b', 'processing'), ...list('cdefg')], next_cursor: 'after-g' };
    const fresh = { items: [video('a'), video('b'), video('d')], next_cursor: 'after-d' };
    const merged = refreshStart(shown, fresh);
    expect(ids(merged.items)).toBe('abdefg');
    expect(merged.items[1]?.state).toBe('ready');
    expect(merged.next_cursor).toBe('after-g');
  });

  it('that covers everything shown brings its own cursor', () => {
    const merged = refreshStart({ items: list('ab'), next_cursor: 'old' }, { items: list('ab'), next_cursor: 'new' });
    expect(merged.next_cursor).toBe('new');
  });

  it('that is the whole list replaces it', () => {
    const merged = refreshStart({ items: list('abc'), next_cursor: null }, { items: list('b'), next_cursor: null });
    expect(ids(merged.items)).toBe('b');
  });

  it('that knows nothing of what was shown starts anew', () => {
    const merged = refreshStart({ items: list('xyz'), next_cursor: 'old' }, { items: list('abc'), next_cursor: 'c' });
    expect(ids(merged.items)).toBe('abc');
    expect(merged.next_cursor).toBe('c');
  });
});
