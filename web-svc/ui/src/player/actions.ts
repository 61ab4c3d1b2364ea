/** Carries out a keyboard action on the player, and says in a word what was done. */

import { formatPercent, formatDuration } from '../lib/format';
import { belongsToControl, type PlayerAction } from '../lib/shortcuts';

/** The text to flash over the picture, or null when the picture itself tells or it is not the media element's business. */
export function perform(action: PlayerAction, video: HTMLVideoElement, controller: HTMLElement): string | null {
  switch (action.do) {
    case 'toggle-play':
      request(controller, video.paused ? 'mediaplayrequest' : 'mediapauserequest');
      return video.paused ? 'Play' : 'Pause';
    case 'seek-by':
      seekTo(video, video.currentTime + action.seconds);
      return `${action.seconds > 0 ? '+' : '−'}${Math.abs(action.seconds)} s`;
    case 'seek-to': {
      const [start, end] = seekable(video);
      seekTo(video, start + (end - start) * action.share);
      return formatDuration(video.currentTime * 1000);
    }
    case 'volume-by': {
      if (video.muted && action.share < 0) return 'Sound off';
      const volume = Math.min(1, Math.max(0, video.volume + action.share));
      request(controller, 'mediavolumerequest', volume);
      return `Volume ${formatPercent(volume + 0.001)}`;
    }
    case 'toggle-mute':
      request(controller, video.muted || video.volume === 0 ? 'mediaunmuterequest' : 'mediamuterequest');
      return video.muted ? 'Sound off' : 'Sound on';
    case 'toggle-fullscreen':
      request(controller, document.fullscreenElement ? 'mediaexitfullscreenrequest' : 'mediaenterfullscreenrequest');
      return null;
    case 'toggle-captions':
    case 'help':
      return null;
  }
}

/** True when a key press is meant for what has the focus, for example a text field or an open menu. */
export function isForFocusedControl(event: KeyboardEvent): boolean {
  return event.composedPath().some((node) => {
    if (!(node instanceof Element)) return false;
    if (node instanceof HTMLElement && node.isContentEditable) return true;
    const type = node.getAttribute('type') ?? '';
    return belongsToControl(node.tagName, type, node.getAttribute('role') ?? '', event.key);
  });
}

function seekTo(video: HTMLVideoElement, time_s: number): void {
  const [start, end] = seekable(video);
  video.currentTime = Math.min(end, Math.max(start, time_s));
}

function seekable(video: HTMLVideoElement): [number, number] {
  const ranges = video.seekable;
  if (ranges.length > 0) return [ranges.start(0), ranges.end(ranges.length - 1)];
  return [0, Number.isFinite(video.duration) ? video.duration : 0];
}

function request(controller: HTMLElement, name: string, detail?: unknown): void {
  controller.dispatchEvent(new CustomEvent(name, { composed: true, bubbles: true, detail }));
}
