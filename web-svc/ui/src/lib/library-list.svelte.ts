/** The library page's list: loaded by pages, refreshed while something in it is being processed. */

import { isAborted, listVideos } from './api';
import { appendPage, refreshStart } from './library';
import { explain, type Explanation } from './problem';
import { isActive, type Video } from './video';

const PAGE_VIDEOS = 24;
const REFRESH_VIDEOS_MAX = 100;
const REFRESH_MS = 2_500;

export class LibraryList {
  items: Video[] = $state.raw([]);
  nextCursor: string | null = $state(null);
  loading: boolean = $state(true);
  error: Explanation | null = $state(null);

  readonly #q: string;
  readonly #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(q: string) {
    this.#q = q;
  }

  get empty(): boolean {
    return !this.loading && !this.error && this.items.length === 0;
  }

  /** Loads the first or the next page. */
  async load(): Promise<void> {
    this.loading = true;
    this.error = null;
    try {
      const cursor = this.nextCursor ?? undefined;
      const page = await listVideos({ q: this.#q, cursor, limit: PAGE_VIDEOS }, this.#abort.signal);
      this.items = appendPage(this.items, page);
      this.nextCursor = page.next_cursor;
      this.#refreshLater();
    } catch (error) {
      if (isAborted(error)) return;
      this.error = explain(error);
    }
    this.loading = false;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  #refreshLater(): void {
    clearTimeout(this.#timer);
    if (this.items.some(isActive)) this.#timer = setTimeout(() => void this.#refresh(), REFRESH_MS);
  }

  async #refresh(): Promise<void> {
    if (!document.hidden && !this.loading) {
      try {
        const limit = Math.min(REFRESH_VIDEOS_MAX, Math.max(PAGE_VIDEOS, this.items.length));
        const before = { items: this.items, next_cursor: this.nextCursor };
        const fresh = await listVideos({ q: this.#q, limit }, this.#abort.signal);
        // A page that was loaded in between is newer than `before`; the next round catches up.
        if (before.items === this.items) {
          const merged = refreshStart(before, fresh);
          this.items = merged.items;
          this.nextCursor = merged.next_cursor;
        }
      } catch (error) {
        if (isAborted(error)) return;
        // What is shown stays; the next round asks again.
      }
    }
    this.#refreshLater();
  }
}
