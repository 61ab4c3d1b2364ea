/** Follows one video's changes: by server-sent events, or by polling when streams are scarce. */

import { getVideo, isAborted, videoUrl } from './api';
import { RequestFailed } from './problem';
import type { VideoChange } from './video';

export interface Follower {
  onChange(change: VideoChange): void;
  onDeleted(): void;
}

/**
 * Browsers open six HTTP/1.1 connections to a server for all tabs together; each stream keeps one.
 * A tab therefore holds at most two and gives them up while it is hidden; other videos are polled.
 */
const STREAMS_MAX = 2;
const POLL_MS = 3_000;
let streams = 0;

/** Starts to follow; call the answer to stop. */
export function followVideo(id: string, follower: Follower): () => void {
  let stop: (() => void) | null = null;
  const start = (): void => {
    if (document.hidden || stop) return;
    stop = streams < STREAMS_MAX ? stream(id, follower, fallBack) : poll(id, follower);
  };
  const pause = (): void => {
    stop?.();
    stop = null;
  };
  function fallBack(): void {
    pause();
    stop = poll(id, follower);
  }
  const onVisibility = (): void => (document.hidden ? pause() : start());
  document.addEventListener('visibilitychange', onVisibility);
  start();
  return () => {
    document.removeEventListener('visibilitychange', onVisibility);
    pause();
  };
}

function stream(id: string, follower: Follower, onRefused: () => void): () => void {
  streams += 1;
  const source = new EventSource(videoUrl(id, 'events'));
  source.addEventListener('video', (event) => follower.onChange(JSON.parse(event.data) as VideoChange));
  source.addEventListener('deleted', () => {
    source.close();
    follower.onDeleted();
  });
  // A lost connection is retried by the browser itself; CLOSED means that the server said no.
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) onRefused();
  });
  return () => {
    source.close();
    streams -= 1;
  };
}

function poll(id: string, follower: Follower): () => void {
  const abort = new AbortController();
  const ask = async (): Promise<void> => {
    try {
      follower.onChange({ video: (await getVideo(id, abort.signal)).video, waiting_for: null });
    } catch (error) {
      if (isAborted(error)) return;
      if (error instanceof RequestFailed && error.problem.status === 404) {
        follower.onDeleted();
        return;
      }
      // Unanswered or 5xx: the next round asks again, as the event stream would reconnect.
    }
    timer = setTimeout(ask, POLL_MS);
  };
  let timer = setTimeout(ask, 0);
  return () => {
    clearTimeout(timer);
    abort.abort();
  };
}
