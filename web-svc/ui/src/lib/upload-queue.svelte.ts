/** The files of this session: sent one after the other, then followed until each video is ready. */

import { changeVideo, isAborted } from './api';
import { titleFromFileName } from './format';
import { followVideo } from './live';
import { explain, type Explanation } from './problem';
import { addSample, rateOf, type Sample } from './transfer';
import { uploadVideo, type UploadRequest } from './upload-request';
import { isActive, type Video } from './video';

export type UploadStage = 'waiting' | 'sending' | 'received' | 'refused' | 'cancelled';

/** More files than this at once is a mistake of the drop, not a wish. */
export const FILES_MAX = 100;

let lastKey = 0;

export class Upload {
  /** Names the row on the page; crypto.randomUUID is missing where the page comes over plain HTTP. */
  readonly key = (lastKey += 1);
  readonly file: File;
  title: string = $state('');
  stage: UploadStage = $state('waiting');
  sentBytes: number = $state(0);
  bytesPerSecond: number | null = $state(null);
  error: Explanation | null = $state(null);
  video: Video | null = $state(null);
  waitingFor: string | null = $state(null);

  #request: UploadRequest | null = null;
  #samples: Sample[] = [];
  #unfollow: (() => void) | null = null;

  constructor(file: File) {
    this.file = file;
    this.title = titleFromFileName(file.name);
  }

  /** True while nothing more will happen by itself. */
  get settled(): boolean {
    if (this.stage === 'received') return !this.video || !isActive(this.video);
    return this.stage === 'refused' || this.stage === 'cancelled';
  }

  async send(): Promise<void> {
    this.stage = 'sending';
    this.error = null;
    this.sentBytes = 0;
    this.#samples = [{ at_ms: performance.now(), bytes: 0 }];
    this.#request = uploadVideo(this.file, this.title.trim(), (bytes) => this.#onSent(bytes));
    try {
      this.video = await this.#request.done;
      this.stage = 'received';
      this.sentBytes = this.file.size;
      await this.rename();
      this.#follow(this.video.id);
    } catch (error) {
      this.stage = isAborted(error) ? 'cancelled' : 'refused';
      this.error = isAborted(error) ? null : explain(error);
    } finally {
      this.#request = null;
    }
  }

  /** Tells the server a title that is another than the one the upload began with. */
  async rename(): Promise<void> {
    const title = this.title.trim();
    if (!this.video || !title || title === this.video.title) return;
    try {
      this.video = (await changeVideo(this.video.id, { title }, null)).video;
    } catch (error) {
      this.error = explain(error);
    }
  }

  cancel(): void {
    if (this.#request) this.#request.cancel();
    else if (this.stage === 'waiting') this.stage = 'cancelled';
  }

  forget(): void {
    this.cancel();
    this.#unfollow?.();
  }

  #onSent(bytes: number): void {
    // An upload that goes on after a break starts again from what the server has: that says nothing about the rate.
    if (this.sentBytes === 0 || bytes < this.sentBytes) this.#samples = [];
    this.sentBytes = bytes;
    this.#samples = addSample(this.#samples, { at_ms: performance.now(), bytes });
    this.bytesPerSecond = rateOf(this.#samples);
  }

  #follow(id: string): void {
    this.#unfollow = followVideo(id, {
      onChange: ({ video, waiting_for }) => {
        this.video = video;
        this.waitingFor = waiting_for;
        if (!isActive(video)) this.#unfollow?.();
      },
      onDeleted: () => {
        this.#unfollow?.();
        this.stage = 'refused';
        this.video = null;
        this.error = { what: 'This video was deleted', why: null, todo: 'Upload it again if you still need it.', reference: null };
      },
    });
  }
}

/** Lives as long as the page, so that uploads go on while its user looks at other videos. */
export class UploadQueue {
  uploads: Upload[] = $state([]);
  /** Files left out of the last addition because the queue was full. */
  leftOut: number = $state(0);
  #running = false;

  get sending(): boolean {
    return this.uploads.some((upload) => upload.stage === 'sending' || upload.stage === 'waiting');
  }

  /** Share of all bytes sent, for the header. */
  get progress(): number {
    const counted = this.uploads.filter((upload) => upload.stage === 'sending' || upload.stage === 'waiting');
    const total = counted.reduce((sum, upload) => sum + upload.file.size, 0);
    return total > 0 ? counted.reduce((sum, upload) => sum + upload.sentBytes, 0) / total : 0;
  }

  add(files: Iterable<File>): void {
    const chosen = [...files];
    const room = Math.max(0, FILES_MAX - this.uploads.length);
    this.leftOut = Math.max(0, chosen.length - room);
    this.uploads.push(...chosen.slice(0, room).map((file) => new Upload(file)));
    void this.#run();
  }

  again(upload: Upload): void {
    upload.stage = 'waiting';
    upload.error = null;
    void this.#run();
  }

  remove(upload: Upload): void {
    upload.forget();
    this.uploads = this.uploads.filter((other) => other !== upload);
  }

  clearSettled(): void {
    for (const upload of this.uploads.filter((other) => other.settled)) this.remove(upload);
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      for (;;) {
        const next = this.uploads.find((upload) => upload.stage === 'waiting');
        if (!next) return;
        await next.send();
      }
    } finally {
      this.#running = false;
    }
  }
}

export const uploadQueue = new UploadQueue();
