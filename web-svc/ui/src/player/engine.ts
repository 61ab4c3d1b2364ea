/** Plays a video's manifest: shaka-player over Media Source, or the browser's own HLS without it. */

import shaka from 'shaka-player/dist/shaka-player.dash-es2021.js';
import { qualitiesOf, type Quality } from '../lib/quality';
import type { Playback } from '../lib/video';

export interface EngineEvents {
  /** The tracks, or the one being played, have changed. */
  onQualities(qualities: Quality[]): void;
  /** Playback stopped for good. `detail` names the cause for a bug report. */
  onFatal(message: string, detail: string): void;
}

export interface Source extends Pick<Playback, 'dash' | 'hls'> {
  /** False while the transcode still adds segments: playback then starts at the beginning, not at the edge. */
  complete: boolean;
}

/** A picked quality shows at once: what was buffered of the old one is dropped. */
const CLEAR_BUFFER = true;

let polyfilled = false;

export class Engine {
  /** Null where the browser plays HLS itself (iPhones before iOS 17.1). */
  readonly player: shaka.Player | null;
  readonly #video: HTMLVideoElement;
  readonly #events: EngineEvents;

  constructor(video: HTMLVideoElement, events: EngineEvents) {
    if (!polyfilled) shaka.polyfill.installAll();
    polyfilled = true;
    this.#video = video;
    this.#events = events;
    this.player = shaka.Player.isBrowserSupported() ? new shaka.Player() : null;
  }

  async load(source: Source): Promise<void> {
    const { player } = this;
    if (!player) return this.#loadNative(source.hls);
    player.addEventListener('error', (event) => this.#fail((event as ShakaErrorEvent).detail));
    const report = (): void => this.#events.onQualities(qualitiesOf(player.getVariantTracks()));
    for (const name of ['trackschanged', 'adaptation', 'variantchanged']) player.addEventListener(name, report);
    try {
      await player.attach(this.#video);
      // Captions are <track> elements, which come and go while a video plays; those in the manifest are for other players.
      player.configure({ streaming: { bufferingGoal: 30, bufferBehind: 60 }, manifest: { disableText: true } });
      await player.load(source.dash, source.complete ? null : 0);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Null gives the choice back to the player. */
  choose(trackId: number | null): void {
    const { player } = this;
    if (!player) return;
    player.configure('abr.enabled', trackId === null);
    const track = player.getVariantTracks().find((candidate) => candidate.id === trackId);
    if (track) player.selectVariantTrack(track, CLEAR_BUFFER);
  }

  async close(): Promise<void> {
    await this.player?.destroy();
    this.#video.removeAttribute('src');
  }

  #loadNative(hls: string): void {
    this.#video.addEventListener('error', () => this.#fail(this.#video.error));
    this.#video.src = hls;
  }

  #fail(error: unknown): void {
    const code = typeof error === 'object' && error !== null && 'code' in error ? Number(error.code) : 0;
    if (code === shaka.util.Error.Code.LOAD_INTERRUPTED) return;
    if (isRecoverable(error)) return;
    const detail = code ? `player error ${code}` : String(error);
    this.#events.onFatal(messageFor(error), detail);
  }
}

interface ShakaErrorEvent extends Event {
  detail?: unknown;
}

/** Shaka retries these by itself and reports them for the record. */
function isRecoverable(error: unknown): boolean {
  return error instanceof shaka.util.Error && error.severity === shaka.util.Error.Severity.RECOVERABLE;
}

function messageFor(error: unknown): string {
  if (!(error instanceof shaka.util.Error)) return 'This browser could not play the video.';
  switch (error.category) {
    case shaka.util.Error.Category.NETWORK:
      return 'A part of the video could not be fetched from the server.';
    case shaka.util.Error.Category.MANIFEST:
      return 'The description of the video could not be read.';
    default:
      return 'This browser could not play the video.';
  }
}
