/** The video that the checkers look at: which one it is, what is known of its source, and its files. */

import assert from 'node:assert/strict';
import HLS from 'hls-parser';

/** @param {string} name @returns {string} */
function fromEnvironment(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: see README.md`);
  return value;
}

export const BASE = fromEnvironment('TRITON_URL');
const ID = fromEnvironment('TRITON_VIDEO');
export const MEDIA = `${BASE}/media/${ID}`;
/** The source: so many pictures at so many a second, with sound. */
export const FRAMES = Number(fromEnvironment('TRITON_FRAMES'));
export const FPS = Number(fromEnvironment('TRITON_FPS'));
export const SECONDS = FRAMES / FPS;
export const READY_MS = 300_000;

HLS.setOptions({ strictMode: true, silent: true });

/** @param {string} url */
export async function text(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, url);
  return answer.text();
}

/** @param {string} url */
export async function bytes(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, url);
  return answer.arrayBuffer();
}

/** The video as the API shows it, once it satisfies the condition. @param {(video: any) => boolean} condition */
export async function once(condition) {
  const end = Date.now() + READY_MS;
  for (;;) {
    const video = JSON.parse(await text(`${BASE}/api/v1/videos/${ID}`));
    assert.notEqual(video.state, 'failed', video.reason);
    if (condition(video)) return video;
    assert.ok(Date.now() < end, `not in time: ${JSON.stringify(video)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const ready = () => once((video) => video.state === 'ready');

/** A rendition as the master playlist names it, with its media playlist. @param {string} uri */
async function media(uri) {
  const url = `${MEDIA}/${uri}`;
  return { url, playlist: /** @type {any} */ (HLS.parse(await text(url))) };
}

/** All media playlists, read by a parser that takes nothing that the specification forbids. */
export async function playlists() {
  const master = /** @type {any} */ (HLS.parse(await text(`${MEDIA}/master.m3u8`)));
  assert.ok(master.isMasterPlaylist);
  const uri = (/** @type {any} */ rendition) => rendition.uri;
  const sounds = new Set(master.variants.flatMap((/** @type {any} */ variant) => variant.audio.map(uri)));
  const pictures = await Promise.all(master.variants.map(uri).map(media));
  const sound = await Promise.all([...sounds].map(media));
  return { master, pictures, sound };
}
