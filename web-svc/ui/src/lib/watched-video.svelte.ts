/** The video of a watch page: loaded, followed while it changes, edited, retried, deleted. */

import {
  changeVideo,
  deleteCaption,
  deleteVideo,
  getVideo,
  isAborted,
  putCaption,
  retryVideo,
  type NewCaption,
  type TaggedVideo,
  type VideoChanges,
} from './api';
import { followVideo } from './live';
import { explain, RequestFailed, type Explanation } from './problem';
import { isActive, type Video } from './video';

export class WatchedVideo {
  video: Video | null = $state.raw(null);
  waitingFor: string | null = $state(null);
  error: Explanation | null = $state(null);
  /** The address names no video, or none any more. */
  gone: boolean = $state(false);

  readonly #id: string;
  readonly #abort = new AbortController();
  #unfollow: (() => void) | null = null;

  constructor(id: string) {
    this.#id = id;
  }

  async load(): Promise<void> {
    this.error = null;
    try {
      await this.latest();
    } catch (error) {
      if (isAborted(error)) return;
      this.gone = error instanceof RequestFailed && [400, 404, 410].includes(error.problem.status);
      if (!this.gone) this.error = explain(error);
    }
  }

  /** Looks anew. */
  async latest(): Promise<TaggedVideo> {
    const tagged = await getVideo(this.#id, this.#abort.signal);
    this.#set(tagged.video);
    return tagged;
  }

  async change(changes: VideoChanges, tag: string | null): Promise<void> {
    this.#set((await changeVideo(this.#id, changes, tag)).video);
  }

  async retry(): Promise<void> {
    await retryVideo(this.#id);
    await this.load();
  }

  async addCaption(caption: NewCaption): Promise<void> {
    await putCaption(this.#id, caption);
    await this.latest();
  }

  async deleteCaption(language: string): Promise<void> {
    await deleteCaption(this.#id, language);
    await this.latest();
  }

  async delete(): Promise<void> {
    this.#stopFollowing();
    await deleteVideo(this.#id);
  }

  close(): void {
    this.#abort.abort();
    this.#stopFollowing();
  }

  #set(video: Video): void {
    this.video = video;
    if (!isActive(video)) return this.#stopFollowing();
    this.#unfollow ??= followVideo(this.#id, {
      onChange: (change) => {
        this.waitingFor = change.waiting_for;
        this.#set(change.video);
      },
      onDeleted: () => {
        this.#stopFollowing();
        this.gone = true;
      },
    });
  }

  #stopFollowing(): void {
    this.#unfollow?.();
    this.#unfollow = null;
    this.waitingFor = null;
  }
}
