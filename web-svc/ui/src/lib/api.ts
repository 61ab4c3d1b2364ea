/** Typed requests to web-svc on the same origin. */

import { noAnswer, parseProblem, RequestFailed } from './problem';
import type { Caption, Video, VideoPage, Visibility } from './video';

/** Metadata requests are small: one that takes longer than this counts as unanswered. */
const TIMEOUT_MS = 20_000;

export interface VideoQuery {
  q?: string;
  cursor?: string;
  limit?: number;
}

export interface VideoChanges {
  title?: string;
  description?: string;
  visibility?: Visibility;
}

export const VIDEOS = '/api/v1/videos';

export function videoUrl(id: string, action?: 'events' | 'retry' | 'download'): string {
  const url = `${VIDEOS}/${encodeURIComponent(id)}`;
  return action ? `${url}/${action}` : url;
}

export async function listVideos(query: VideoQuery, signal?: AbortSignal): Promise<VideoPage> {
  const params = new URLSearchParams();
  if (query.q) params.set('q', query.q);
  if (query.cursor) params.set('cursor', query.cursor);
  if (query.limit) params.set('limit', String(query.limit));
  const suffix = params.size > 0 ? `?${params}` : '';
  const response = await request(VIDEOS + suffix, { signal });
  return (await response.json()) as VideoPage;
}

/** A video with the entity tag of its state. */
export interface TaggedVideo {
  video: Video;
  tag: string | null;
}

export async function getVideo(id: string, signal?: AbortSignal): Promise<TaggedVideo> {
  return tagged(await request(videoUrl(id), { signal }));
}

/** Changes the state that the tag stands for; fails with status 412 where there is another one by now. */
export async function changeVideo(id: string, changes: VideoChanges, tag: string | null): Promise<TaggedVideo> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (tag) headers['if-match'] = tag;
  return tagged(await request(videoUrl(id), { method: 'PATCH', headers, body: JSON.stringify(changes) }));
}

async function tagged(response: Response): Promise<TaggedVideo> {
  return { video: (await response.json()) as Video, tag: response.headers.get('etag') };
}

export async function deleteVideo(id: string): Promise<void> {
  await request(videoUrl(id), { method: 'DELETE' });
}

export async function retryVideo(id: string): Promise<void> {
  await request(videoUrl(id, 'retry'), { method: 'POST' });
}

export interface NewCaption {
  language: string;
  label: string;
  kind: Caption['kind'];
  file: Blob;
}

export async function putCaption(id: string, caption: NewCaption): Promise<void> {
  const params = new URLSearchParams({ kind: caption.kind });
  if (caption.label) params.set('label', caption.label);
  await request(`${captionUrl(id, caption.language)}?${params}`, { method: 'PUT', body: caption.file });
}

export async function deleteCaption(id: string, language: string): Promise<void> {
  await request(captionUrl(id, language), { method: 'DELETE' });
}

function captionUrl(id: string, language: string): string {
  return `${videoUrl(id)}/captions/${encodeURIComponent(language)}`;
}

/** True when the request ended because its caller gave up, which is no error to show. */
export function isAborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

async function request(url: string, init: RequestInit): Promise<Response> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal });
  } catch (error) {
    throw isAborted(error) ? error : noAnswer();
  }
  if (response.ok) return response;
  const body = await response.text();
  throw new RequestFailed(parseProblem(response.status, response.headers.get('content-type'), body));
}
