/** Captions of a file and captions that are added on the page: chosen in the player, read over the picture, deleted. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { playing, until, untilLoaded } from './playback.mjs';
import { fromEnvironment, Session, WIDTHS } from './session.mjs';

const TRANSCODE_MS = 300_000;
const ENGLISH = '1\n00:00:00,000 --> 00:00:19,000\nTom & Jerry <i>sing</i>\n';
const GERMAN = '1\n00:00:00,000 --> 00:00:19,000\nTom und Jerry singen ein sehr langes Lied, das zwei Zeilen braucht\n';

/** @type {Session} */
let session;
let folder = '';
let id = '';

before(async () => {
  session = await Session.open();
  folder = await mkdtemp(path.join(tmpdir(), 'triton-captions-'));
});

after(async () => {
  if (id) await session.forget(id);
  await session.close();
  await rm(folder, { recursive: true, force: true });
});

/** The texts that the browser shows over the picture now. */
function shown() {
  return session.page.evaluate(() => {
    /** @type {TextTrack[]} */
    const tracks = [.../** @type {any} */ (window).triton.video.textTracks];
    const showing = tracks.filter((track) => track.mode === 'showing' && track.kind !== 'metadata');
    return showing.flatMap((track) => [...(track.activeCues ?? [])].map((cue) => /** @type {VTTCue} */ (cue).text));
  });
}

/** @param {string[]} texts */
async function untilShown(texts) {
  const end = Date.now() + 20_000;
  while ((await shown()).join('|') !== texts.join('|')) {
    assert.ok(Date.now() < end, `shown is ${JSON.stringify(await shown())}, not ${JSON.stringify(texts)}`);
    await session.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
}

/** The poster covers the captions until the video has been played. */
async function playAndPause() {
  const { page } = session;
  await page.evaluate(() => {
    const { video } = /** @type {any} */ (window).triton;
    video.muted = true;
    return video.play();
  });
  await until(page, 'the beginning', (now) => now.time_s > 0.5);
  await page.evaluate(() => /** @type {any} */ (window).triton.video.pause());
}

/** @param {string} name */
async function pick(name) {
  await session.page.locator('media-controller').hover();
  await session.page.getByRole('button', { name: /^Captions:/ }).click();
  await session.page.getByRole('menu', { name: 'Captions' }).getByRole('menuitemradio', { name }).click();
}

test('a text track of the file is read over the picture', { timeout: TRANSCODE_MS }, async () => {
  const { page } = session;
  const [text, film] = [path.join(folder, 'en.srt'), path.join(folder, 'film.mkv')];
  await writeFile(text, ENGLISH);
  const streams = ['-map', '0', '-map', '1', '-c', 'copy', '-c:s', 'srt', '-metadata:s:s:0', 'language=eng'];
  execFileSync('ffmpeg', ['-v', 'error', '-i', fromEnvironment('TRITON_CLIP'), '-i', text, ...streams, film]);
  const form = new FormData();
  form.set('title', `Captions ${process.pid}`);
  form.set('file', new Blob([await readFile(film)]), 'film.mkv');
  const answer = await fetch(`${session.base}/api/v1/videos`, { method: 'POST', body: form });
  id = /** @type {{ id: string }} */ (await answer.json()).id;
  // Opened before the captions are read from the file: they come while the page is open.
  await session.visit(`/v/${id}`);
  await page.locator('[data-caption=en]').waitFor({ timeout: TRANSCODE_MS });
  await page.waitForFunction(() => Boolean(/** @type {any} */ (window).triton), null, { timeout: TRANSCODE_MS });
  await untilLoaded(page);
  await playAndPause();
  assert.deepEqual(await shown(), [], 'nobody asked for them');
  await pick('English');
  await untilShown(['Tom &amp; Jerry <i>sing</i>']);
  await session.picture('watch-captions');
  await page.locator('media-controller').hover();
  await page.getByRole('button', { name: 'Captions: English' }).click();
  await session.picture('watch-captions-menu');
  await page.keyboard.press('Escape');
});

test('c turns them off and on, and the page remembers', async () => {
  const { page } = session;
  await page.getByRole('heading', { level: 1 }).click();
  await page.keyboard.press('c');
  await untilShown([]);
  await page.keyboard.press('c');
  await untilShown(['Tom &amp; Jerry <i>sing</i>']);
  await page.reload();
  await untilLoaded(page);
  await playAndPause();
  await untilShown(['Tom &amp; Jerry <i>sing</i>']);
});

test('captions added on the page can be chosen at once, without loading it again', { timeout: TRANSCODE_MS }, async () => {
  const { page } = session;
  const good = path.join(folder, 'film.de.srt');
  const bad = path.join(folder, 'film.fr.srt');
  await writeFile(good, GERMAN);
  await writeFile(bad, '1\n00:00:01,000 --> soon\nHello\n');
  const before = await playing(page);
  await page.getByRole('button', { name: 'Add captions' }).click();
  const dialog = page.getByRole('dialog', { name: 'Add captions' });
  await dialog.getByLabel(/^File/).setInputFiles(bad);
  assert.equal(await dialog.getByLabel('Language').inputValue(), 'fr', 'the name of the file says it');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await dialog.getByRole('alert').getByText('Line 2').waitFor();
  await session.picture('watch-captions-refused');
  await dialog.getByLabel(/^File/).setInputFiles(good);
  await dialog.getByLabel(/^Label/).fill('Karaoke');
  await dialog.getByLabel(/hard of hearing/).check();
  await session.picture('watch-captions-add');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
  await pick('German (Karaoke)');
  await untilShown([GERMAN.split('\n')[2] ?? '']);
  assert.equal((await playing(page)).duration_s, before.duration_s, 'the player was not started anew');
  await session.picture('watch-captions-two');
  await page.setViewportSize({ width: 320, height: 700 });
  const extra_px = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(extra_px <= 0, `${extra_px} px too wide on a small phone`);
  await page.setViewportSize(WIDTHS.desktop);
});

test('a player that follows the DASH manifest finds the same captions', { timeout: TRANSCODE_MS }, async () => {
  const { page } = session;
  await page.locator('.progress').waitFor({ state: 'detached', timeout: TRANSCODE_MS });
  const found = await page.evaluate(async (address) => {
    const Player = /** @type {any} */ (window).triton.player.constructor;
    const player = new Player();
    const video = document.createElement('video');
    video.muted = true;
    /** @type {string[]} */
    const texts = [];
    /** @type {(cue: { payload: string, nestedCues: any[] }) => string} */
    const textOf = (cue) => cue.payload + cue.nestedCues.map(textOf).join('');
    // The player's own displayer makes tracks with data: addresses, which this page's security policy does not allow.
    const displayer = {
      append: (/** @type {{ payload: string, nestedCues: any[] }[]} */ cues) => texts.push(...cues.map(textOf)),
      remove: () => true,
      destroy: () => Promise.resolve(),
      isTextVisible: () => true,
      setTextVisibility() {},
      setTextLanguage() {},
      enableTextDisplayer() {},
      configure() {},
    };
    player.configure('textDisplayFactory', (/** @type {unknown} */ _player) => displayer);
    await player.attach(video);
    await player.load(address);
    /** @type {{ language: string, kind: string, label: string }[]} */
    const tracks = player.getTextTracks();
    const german = tracks.find(({ language }) => language === 'de');
    player.selectTextTrack(german);
    for (let tries = 0; tries < 200 && texts.length === 0; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await player.destroy();
    return { languages: tracks.map(({ language }) => language).sort(), label: german?.label, text: texts.join('|') };
  }, `/media/${id}/manifest.mpd`);
  assert.deepEqual(found.languages, ['de', 'en']);
  assert.match(found.text, /Tom und Jerry singen/);
  assert.equal(found.label, 'Karaoke');
});

test('deleted captions leave the list and the player', async () => {
  const { page } = session;
  await page.getByRole('button', { name: 'Delete German (Karaoke)' }).click();
  await session.picture('watch-captions-delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await page.locator('[data-caption=de]').waitFor({ state: 'detached' });
  await untilShown([]);
  assert.equal(await page.locator('[data-caption=en]').getByRole('button').count(), 0, 'those of the file stay');
  await pick('English');
  await untilShown(['Tom &amp; Jerry <i>sing</i>']);
});

test('no page asked another host for anything, and none failed', () => {
  assert.deepEqual(session.foreignRequests, []);
  assert.deepEqual(session.pageErrors, []);
});
