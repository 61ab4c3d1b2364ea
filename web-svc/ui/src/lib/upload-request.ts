/** One multipart upload by XMLHttpRequest, because fetch tells nothing about bytes sent. */

import { VIDEOS } from './api';
import { parseProblem, RequestFailed } from './problem';
import type { Video } from './video';

export interface UploadRequest {
  done: Promise<Video>;
  cancel(): void;
}

export function uploadVideo(file: File, title: string, onSent: (bytes: number) => void): UploadRequest {
  const form = new FormData();
  // The title goes first: the server streams the file and should know its title by then.
  form.set('title', title);
  form.set('file', file, file.name);

  const xhr = new XMLHttpRequest();
  const done = new Promise<Video>((resolve, reject) => {
    xhr.upload.addEventListener('progress', (event) => {
      // `loaded` counts the multipart envelope too, which is no part of the file.
      onSent(Math.min(file.size, Math.round((event.loaded / Math.max(1, event.total)) * file.size)));
    });
    xhr.addEventListener('load', () => {
      if (xhr.status >= 200 && xhr.status < 300) return resolve(JSON.parse(xhr.responseText) as Video);
      const type = xhr.getResponseHeader('content-type');
      reject(new RequestFailed(parseProblem(xhr.status, type, xhr.responseText)));
    });
    xhr.addEventListener('error', () => reject(connectionLost()));
    xhr.addEventListener('abort', () => reject(new DOMException('The upload was cancelled.', 'AbortError')));
  });
  xhr.open('POST', VIDEOS);
  xhr.setRequestHeader('accept', 'application/json, application/problem+json');
  xhr.send(form);
  return { done, cancel: () => xhr.abort() };
}

/** A server that refuses a large body early may close the connection before its answer is read. */
function connectionLost(): RequestFailed {
  return new RequestFailed({
    type: 'about:blank',
    title: 'The upload was cut off',
    status: 0,
    detail: 'The connection to the server ended before the whole file was sent.',
  });
}
