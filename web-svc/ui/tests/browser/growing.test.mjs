/** A viewer who opens a video while most of it is still being made sees it to its end without loading the page again. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { playing, until, untilLoaded } from './playback.mjs';
import { fromEnvironment, Session } from './session.mjs';

const TRANSCODE_MS = 300_000;

/** @type {Session} */
let session;
let id = '';

before(async () => {
  session = await Session.open();
});

after(async () => {
  if (id) await session.forget(id);
  await session.close();
});

async function upload() {
  const form = new FormData();
  form.set('title', `Growing ${process.pid}`);
  form.set('file', new Blob([await readFile(fromEnvironment('TRITON_CLIP'))]), 'clip.mp4');
  const answer = await fetch(`${session.base}/api/v1/videos`, { method: 'POST', body: form });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return /** @type {{ id: string }} */ (JSON.parse(text)).id;
}

async function state() {
  const answer = await fetch(`${session.base}/api/v1/videos/${id}`);
  return /** @type {{ state: string }} */ (await answer.json()).state;
}

test('a player that opens early goes on to the end', { timeout: TRANSCODE_MS }, async () => {
  const { page } = session;
  id = await upload();
  await session.visit(`/v/${id}`);
  await page.waitForFunction(() => Boolean(/** @type {any} */ (window).triton), null, { timeout: TRANSCODE_MS });
  await untilLoaded(page);
  assert.equal(await state(), 'processing', 'it plays before all of it is made');
  await page.evaluate(() => {
    const { video } = /** @type {any} */ (window).triton;
    /** @type {any} */ (window).openedEarly = true;
    video.muted = true;
    return video.play();
  });
  const early = await until(page, 'the beginning', (now) => now.time_s > 0.3 && now.framesDecoded > 3);
  assert.ok(early.time_s < 4, `it starts at the beginning, not at ${early.time_s}`);
  await session.picture('watch-growing');
  const end = await until(page, 'the end', (now) => now.time_s > 19.8, TRANSCODE_MS);
  assert.ok(Math.abs(end.duration_s - 20) < 0.3, `the length is known in the end: ${end.duration_s}`);
  assert.ok(await page.evaluate(() => /** @type {any} */ (window).openedEarly), 'the page was loaded once');
  assert.equal(await state(), 'ready');
  assert.ok((await playing(page)).framesDecoded > 300, 'all of it was decoded');
});
