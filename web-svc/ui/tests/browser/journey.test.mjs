/** The whole way of one video through the page: uploaded, processed, played, edited, deleted. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { pickQuality, playFromStart, playing, until, untilLoaded } from './playback.mjs';
import { fromEnvironment, Session } from './session.mjs';

/** Long enough for a minute of clip on a busy machine with two cores. */
const TRANSCODE_MS = 300_000;
/** Unique, so that the test may run on a server that has videos already. */
const TITLE = `Browser test ${process.pid}-${Date.now()}`;

/** @type {Session} */
let session;
let id = '';
let uploadTried = false;
let isReady = false;

before(async () => {
  session = await Session.open();
});

// Without a video the steps after the upload say so at once, instead of each waiting for its deadline.
beforeEach(() => {
  assert.ok(isReady || !uploadTried, 'the upload did not become a video, see the first test');
  uploadTried = true;
});

after(async () => {
  if (id) await session.forget(id);
  await session.close();
});

test('an upload through the page shows its bytes and becomes ready', { timeout: TRANSCODE_MS + 60_000 }, async () => {
  const { page } = session;
  await session.visit('/');
  await page.getByRole('link', { name: 'Upload' }).first().click();
  await session.picture('upload');

  // Slow enough that the progress can be seen; the bytes are real.
  const network = await session.context.newCDPSession(page);
  const clip = fromEnvironment('TRITON_CLIP');
  const bytes = (await readFile(clip)).length;
  const limits = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: Math.max(100_000, bytes / 4) };
  await network.send('Network.emulateNetworkConditions', limits);
  await page.getByLabel('Video files').setInputFiles(clip);
  await page.waitForFunction(() => {
    const share = Number(document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow'));
    return share > 0 && share < 100;
  });
  await page.getByLabel('Title').fill(TITLE);
  await session.picture('upload-sending');
  await network.send('Network.emulateNetworkConditions', { ...limits, uploadThroughput: -1 });

  const row = page.locator('li[data-stage]');
  const link = row.getByRole('link', { name: /Watch|Open its page/ });
  await link.waitFor({ timeout: 60_000 });
  id = new URL((await link.getAttribute('href')) ?? '', session.base).pathname.split('/').pop() ?? '';
  assert.ok(id, 'the row links to the video');
  await session.picture('upload-processing');
  await page.locator('li[data-state=ready], li[data-state=failed]').waitFor({ timeout: TRANSCODE_MS });
  assert.equal(await row.getAttribute('data-state'), 'ready', await row.innerText());
  isReady = true;
  await session.picture('upload-ready');
});

test('the video plays: time advances and frames are decoded', async () => {
  const { page } = session;
  await page.getByRole('link', { name: 'Watch' }).click();
  await untilLoaded(page);
  await page.getByRole('heading', { level: 1, name: TITLE }).waitFor();
  await session.picture('watch');
  await page.locator('media-controller').getByRole('button', { name: 'play' }).first().click();
  const now = await until(page, 'playback', (state) => state.time_s > 1 && state.framesDecoded > 10);
  assert.ok(!now.paused);
  assert.ok(now.heights.length >= 2, `at least two qualities, got ${now.heights}`);
});

test('a quality picked from the menu changes what is decoded', async () => {
  const { page } = session;
  const { heights } = await playing(page);
  const best = heights.at(-1) ?? 0;
  const least = heights[0] ?? 0;
  await page.getByRole('button', { name: /^Quality/ }).click();
  await session.picture('watch-quality-menu');
  await page.keyboard.press('Escape');

  // Widths and heights may be rounded by a pixel, so the middle between the two decides.
  const middle = (best + least) / 2;
  await playFromStart(page);
  await pickQuality(page, 1);
  const high = await until(page, 'the best quality', (now) => now.height > middle);
  await playFromStart(page);
  await pickQuality(page, -1);
  const low = await until(page, 'the least quality', (now) => now.height > 0 && now.height < middle);
  assert.notEqual(low.height, high.height);
  await playFromStart(page);
  const later = await until(page, 'frames of the least quality', (now) => now.time_s > 0.5 && !now.paused);
  assert.equal(later.height, low.height, 'the picked quality stays');
  await pickQuality(page, 0);
});

test('a click on the time line seeks and goes on playing', async () => {
  const { page } = session;
  await playFromStart(page);
  await page.locator('media-controller').hover();
  const line = (await page.locator('media-time-range').boundingBox()) ?? assert.fail('no time line');
  await page.mouse.click(line.x + line.width * 0.6, line.y + line.height / 2);
  const wanted = (state = { duration_s: 0 }) => state.duration_s * 0.6;
  const at = await until(page, 'the seek', (now) => Math.abs(now.time_s - wanted(now)) < now.duration_s * 0.08);
  await until(page, 'playing after the seek', (now) => now.time_s > at.time_s + 0.2 && now.framesDecoded > at.framesDecoded);
});

test('the keyboard controls the player', async () => {
  const { page } = session;
  await page.getByRole('heading', { level: 1 }).click();
  await playFromStart(page);
  await page.keyboard.press('Space');
  await until(page, 'pause by space', (now) => now.paused);
  await page.keyboard.press('5');
  const half = await until(page, 'half by 5', (now) => Math.abs(now.time_s - now.duration_s / 2) < 0.2);
  await page.keyboard.press('ArrowLeft');
  await until(page, 'five seconds back', (now) => Math.abs(now.time_s - Math.max(0, half.time_s - 5)) < 0.2);
  await page.keyboard.press('l');
  const forward_s = Math.min(half.duration_s, Math.max(0, half.time_s - 5) + 10);
  await until(page, 'ten seconds forward', (now) => Math.abs(now.time_s - forward_s) < 0.3);
  await page.keyboard.press('j');
  await until(page, 'ten seconds back', (now) => Math.abs(now.time_s - Math.max(0, forward_s - 10)) < 0.4);
  const { volume } = await playing(page);
  await page.keyboard.press('ArrowDown');
  await until(page, 'quieter', (now) => now.volume < volume);
  await page.keyboard.press('m');
  await until(page, 'mute', (now) => now.muted);
  await page.keyboard.press('m');
  await until(page, 'sound again', (now) => !now.muted);
  await page.keyboard.press('f');
  await until(page, 'full screen', (now) => now.fullScreen);
  await page.keyboard.press('f');
  await until(page, 'out of full screen', (now) => !now.fullScreen);
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  await session.picture('watch-help');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor({ state: 'hidden' });
  await page.keyboard.press('5');
  await until(page, 'half again', (now) => now.time_s > now.duration_s / 4);
});

test('keys typed into a text field do not reach the player', async () => {
  const { page } = session;
  const before = await playing(page);
  await page.getByLabel('Search videos').click();
  await page.keyboard.type('k m 5');
  const now = await playing(page);
  assert.equal(now.paused, before.paused);
  assert.equal(now.muted, before.muted);
  assert.equal(Math.round(now.time_s), Math.round(before.time_s));
});

test('an entry of the speed menu changes the speed', async () => {
  const { page } = session;
  await page.locator('media-controller').hover();
  await page.getByRole('button', { name: /^Speed/ }).click();
  await page.getByRole('menuitemradio', { name: '1.5×' }).click();
  await page.getByRole('button', { name: 'Speed: 1.5×' }).waitFor();
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).triton.video.playbackRate), 1.5);
});

test('the original comes back byte for byte', async () => {
  const href = await session.page.getByRole('link', { name: /Download/ }).getAttribute('href');
  const answer = await fetch(new URL(href ?? '', session.base));
  assert.equal(answer.status, 200);
  const hash = (/** @type {Uint8Array} */ data) => createHash('sha256').update(data).digest('hex');
  const clip = await readFile(fromEnvironment('TRITON_CLIP'));
  assert.equal(hash(new Uint8Array(await answer.arrayBuffer())), hash(clip));
});

test('an edited title with markup is shown as text and stays', async () => {
  const { page } = session;
  const { time_s } = await playing(page);
  assert.ok(time_s > 0, 'the video has been played');
  const title = `${TITLE} <img src=x onerror="window.broken=1"> & “quotes”`;
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByLabel('Title').fill(title);
  await page.getByLabel('Description').fill('First line\nSecond line');
  await session.picture('watch-edit');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { level: 1, name: title }).waitFor();
  assert.ok((await playing(page)).time_s >= time_s, 'an edit does not start the player anew');
  await page.reload();
  await page.getByRole('heading', { level: 1, name: title }).waitFor();
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).broken), undefined);
});

test('the library finds the video and shows its picture', async () => {
  const { page } = session;
  await page.getByLabel('Search videos').fill(TITLE);
  await page.keyboard.press('Enter');
  const card = page.locator(`li[data-video="${id}"]`);
  await card.waitFor();
  await page.waitForFunction((video) => {
    const poster = document.querySelector(`li[data-video="${video}"] img`);
    return poster instanceof HTMLImageElement && poster.complete && poster.naturalWidth > 0;
  }, id);
  await session.picture('library-search');
  await session.visit('/');
  await card.waitFor();
  await session.picture('library');
});

test('a deleted video is gone from the page and from the server', async () => {
  const { page } = session;
  await session.visit(`/v/${id}`);
  await page.getByRole('button', { name: 'Delete' }).click();
  await session.picture('watch-delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.waitForURL(session.base + '/');
  await page.locator('main h1').waitFor();
  await page.waitForFunction(() => document.querySelector('[aria-busy=true]') === null);
  assert.equal(await page.locator(`li[data-video="${id}"]`).count(), 0);
  assert.equal((await fetch(`${session.base}/api/v1/videos/${id}`)).status, 404);
  await session.visit(`/v/${id}`);
  await page.getByRole('heading', { name: 'This video does not exist' }).waitFor();
  await session.picture('watch-gone');
  id = '';
});

test('no page asked another host for anything, and none failed', () => {
  assert.deepEqual(session.foreignRequests, []);
  assert.deepEqual(session.pageErrors, []);
});
