/** The list of the library page as a value: pages appended, and refreshed while videos change. Pure. */

import type { Video, VideoPage } from './video';

export function appendPage(items: Video[], page: VideoPage): Video[] {
  const seen = new Set(items.map((video) => video.id));
  return [...items, ...page.items.filter((video) => !seen.has(video.id))];
}

/**
 * Puts a fresh copy of the list's beginning in place of what was shown: changed, new and deleted
 * videos included. What was loaded beyond the fresh page stays, with its cursor.
 */
export function refreshStart(shown: VideoPage, fresh: VideoPage): VideoPage {
  if (fresh.next_cursor === null) return fresh;
  const ids = new Set(fresh.items.map((video) => video.id));
  const lastKnown = shown.items.findLastIndex((video) => ids.has(video.id));
  const rest = lastKnown < 0 ? [] : shown.items.slice(lastKnown + 1);
  return {
    items: [...fresh.items, ...rest],
    next_cursor: rest.length > 0 ? shown.next_cursor : fresh.next_cursor,
  };
}
