import type shaka from 'shaka-player/dist/shaka-player.dash-es2021.js';

declare global {
  interface Window {
    /** On the watch page, for tests and for the console: what plays, and where. */
    triton?: { player: shaka.Player | null; video: HTMLVideoElement };
  }
}

export {};
