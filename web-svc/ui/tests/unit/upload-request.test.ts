import { describe, expect, it } from 'vitest';
import { idOf, isWorthRetrying, metadataOf, refusalOf } from '../../src/lib/upload-request';

describe('an upload request', () => {
  it('names the file, and the title where there is one', () => {
    expect(metadataOf({ name: 'a.mp4', type: 'video/mp4' }, 'A')).toEqual({ filename: 'a.mp4', title: 'A', filetype: 'video/mp4' });
    expect(metadataOf({ name: 'a', type: '' }, '')).toEqual({ filename: 'a' });
  });

  it('is tried again where that can help', () => {
    for (const status of [0, 408, 409, 429, 500, 503]) expect(isWorthRetrying(status), String(status)).toBe(true);
    for (const status of [400, 403, 410, 412, 413, 415, 422]) expect(isWorthRetrying(status), String(status)).toBe(false);
  });

  it('has the id of its video in its address', () => {
    expect(idOf('http://host/api/v1/uploads/AZqxJ2QkcYuS5T3mVb0aXw')).toBe('AZqxJ2QkcYuS5T3mVb0aXw');
    expect(idOf(null)).toBe('');
  });

  it("tells the server's own sentence when it is refused", () => {
    const body = JSON.stringify({ type: 'urn:x', title: 'No video', status: 422, detail: 'It is a letter.' });
    const response = { getStatus: () => 422, getHeader: () => 'application/problem+json', getBody: () => body };
    const refused = Object.assign(new Error('tus: …'), { originalRequest: {}, originalResponse: response, causingError: null });
    expect(refusalOf(refused as never).problem).toMatchObject({ status: 422, title: 'No video', detail: 'It is a letter.' });
    expect(refusalOf(new Error('gone')).problem.status).toBe(0);
  });
});
