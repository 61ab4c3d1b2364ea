/** The wire types of web-svc's REST API, as its OpenAPI document describes them. */

export type VideoState = 'uploading' | 'queued' | 'processing' | 'ready' | 'failed';
export type Visibility = 'public' | 'unlisted' | 'private';

export interface Rendition {
  name: string;
  width: number;
  height: number;
  bitrate_bps: number;
  codecs: string;
}

/** URL paths on this server. Poster and storyboard appear once they have been made. */
export interface Playback {
  dash: string;
  hls: string;
  poster?: string | null;
  storyboard?: string | null;
}

/** What can be read along with a video, in one language. */
export interface Caption {
  /** BCP 47; `und` where nobody knows. */
  language: string;
  label: string | null;
  kind: 'subtitles' | 'captions';
  origin: 'uploaded' | 'embedded';
  /** WebVTT; another address for another text. */
  url: string;
}

export interface Video {
  id: string;
  title: string;
  description: string;
  state: VideoState;
  playable: boolean;
  /** Share of the transcode that is done, 0 to 1. */
  progress: number;
  reason?: string | null;
  duration_ms?: number | null;
  width?: number | null;
  height?: number | null;
  renditions: Rendition[];
  playback?: Playback | null;
  captions: Caption[];
  visibility: Visibility;
  /** RFC 3339. */
  created_at: string;
  original_bytes: number;
}

/** The server's limits, in characters as it counts them (Unicode scalar values). */
export const TITLE_CHARS_MAX = 300;
export const DESCRIPTION_CHARS_MAX = 10_000;
export const LABEL_CHARS_MAX = 100;
export const CAPTION_BYTES_MAX = 2 * 1024 * 1024;

export interface VideoPage {
  items: Video[];
  next_cursor: string | null;
}

/** What `event: video` of the event stream carries. */
export interface VideoChange {
  video: Video;
  /** In words, what the work waits for, e.g. "a free worker". */
  waiting_for: string | null;
}

/** True while the server still works on the video, so that its state will change by itself. */
export function isActive(video: Video): boolean {
  return video.state === 'uploading' || video.state === 'queued' || video.state === 'processing';
}

/** True when the player has something to show, which may be before the transcode has ended. */
export function isPlayable(video: Video): boolean {
  return video.playable && Boolean(video.playback);
}
