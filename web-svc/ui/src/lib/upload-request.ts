/** One resumable upload by the tus protocol: it goes on after a dropped connection, and after a reload of the page. */

import { DetailedError, Upload } from 'tus-js-client';
import { getVideo } from './api';
import { parseProblem, RequestFailed } from './problem';
import type { Video } from './video';

const UPLOADS = '/api/v1/uploads';

/** Small enough that a proxy that buffers whole requests does no harm, large enough that the pauses between do not count. */
const CHUNK_BYTES = 32 * 1024 * 1024;

/** Waits before each retry, about three minutes together; bytes that got through start them over. */
const RETRY_DELAYS_MS = [0, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 30_000, 30_000, 30_000, 30_000];

export interface UploadRequest {
  done: Promise<Video>;
  cancel(): void;
}

export function uploadVideo(file: File, title: string, onSent: (bytes: number) => void): UploadRequest {
  let cancel = (): void => {};
  const done = new Promise<Video>((resolve, reject) => {
    let isCancelled = false;
    // While the answer to the creation is on its way the upload exists, but its address is not known yet.
    let isCreating = false;
    const upload = new Upload(file, {
      endpoint: new URL(UPLOADS, location.href).href,
      metadata: metadataOf(file, title),
      chunkSize: CHUNK_BYTES,
      retryDelays: RETRY_DELAYS_MS,
      removeFingerprintOnSuccess: true,
      onBeforeRequest: (request) => {
        isCreating = request.getMethod() === 'POST';
      },
      onUploadUrlAvailable: () => {
        isCreating = false;
        if (isCancelled) end();
      },
      onShouldRetry: (error) => !isCancelled && isWorthRetrying(error.originalResponse?.getStatus() ?? 0),
      onProgress: (bytesSent) => onSent(Math.min(file.size, bytesSent)),
      onSuccess: () => void getVideo(idOf(upload.url)).then(({ video }) => resolve(video), reject),
      onError: (error) => reject(isCancelled ? cancelled() : refusalOf(error)),
    });
    const end = (): void => {
      const tell = (): void => reject(cancelled());
      // Where the server cannot be told now, the upload expires there.
      upload.abort(true).then(tell, tell);
    };
    cancel = () => {
      isCancelled = true;
      if (!isCreating) end();
    };
    void begin(upload, () => isCancelled).catch(reject);
  });
  return { done, cancel: () => cancel() };
}

function cancelled(): DOMException {
  return new DOMException('The upload was cancelled.', 'AbortError');
}

/** Goes on with an upload of the same file that a reload or a crash of the page cut. */
async function begin(upload: Upload, isCancelled: () => boolean): Promise<void> {
  const former = await upload.findPreviousUploads();
  const latest = former.sort((a, b) => Date.parse(b.creationTime) - Date.parse(a.creationTime)).at(0);
  if (latest) upload.resumeFromPreviousUpload(latest);
  if (!isCancelled()) upload.start();
}

export function metadataOf(file: { name: string; type: string }, title: string): Record<string, string> {
  const metadata: Record<string, string> = { filename: file.name };
  if (title) metadata.title = title;
  if (file.type) metadata.filetype = file.type;
  return metadata;
}

/** No answer, a silence, a server that cannot right now, or an offset that another request moved: the rest is final. */
export function isWorthRetrying(status: number): boolean {
  return status === 0 || status === 408 || status === 409 || status === 429 || status >= 500;
}

/** The video has the id of its upload. */
export function idOf(url: string | null): string {
  return url?.split('/').pop() ?? '';
}

/** What the server said, or that it said nothing. */
export function refusalOf(error: Error | DetailedError): RequestFailed {
  const response = 'originalResponse' in error ? error.originalResponse : null;
  if (!response) return connectionLost();
  const type = response.getHeader('content-type') ?? null;
  return new RequestFailed(parseProblem(response.getStatus(), type, response.getBody()));
}

function connectionLost(): RequestFailed {
  return new RequestFailed({
    type: 'about:blank',
    title: 'The upload was cut off',
    status: 0,
    detail: 'The connection to the server was lost. What arrived is kept: try again, or choose the same file later, and it goes on.',
  });
}
