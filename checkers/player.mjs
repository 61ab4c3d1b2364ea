/** Chromium with a player of other people on an empty page of the server's own address. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { BASE, FRAMES, MEDIA, READY_MS, SECONDS } from './video.mjs';

const CHROMIUM = process.env.TRITON_CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];
const require = createRequire(import.meta.url);

/** How a player is told to play, in the page: `window.failed` receives what it complains about. */
const PLAYERS = {
  'hls.js': { script: 'hls.js', manifest: 'master.m3u8', begin: beginHls },
  shaka: { script: 'shaka-player/dist/shaka-player.compiled.js', manifest: 'manifest.mpd', begin: beginShaka },
  'shaka, HLS': { script: 'shaka-player/dist/shaka-player.compiled.js', manifest: 'master.m3u8', begin: beginShaka },
};

/** @param {string} manifest */
async function beginHls(manifest) {
  const { Hls, video, failed } = /** @type {any} */ (window);
  // From the beginning, also where the end is not known yet.
  const hls = new Hls({ startPosition: 0 });
  hls.on(Hls.Events.ERROR, (/** @type {unknown} */ _, /** @type {any} */ data) => {
    if (data.fatal) failed.push(data.details);
  });
  hls.loadSource(manifest);
  hls.attachMedia(video);
  await video.play();
}

/** @param {string} manifest */
async function beginShaka(manifest) {
  const { shaka, video, failed } = /** @type {any} */ (window);
  const player = new shaka.Player();
  await player.attach(video);
  player.addEventListener('error', (/** @type {any} */ event) => failed.push(String(event.detail)));
  await player.load(manifest, 0);
  await video.play();
}

/**
 * Plays from the beginning to the end, and fails where the player complains or has shown too little.
 * @param {keyof typeof PLAYERS} name
 */
export async function playToTheEnd(name) {
  const { script, manifest, begin } = PLAYERS[name];
  const profile = await mkdtemp(path.join(tmpdir(), 'triton-checkers-'));
  const context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS });
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    // Scripts of the checkers under the server's own address, so that the players need no permission of it.
    await page.route(`${BASE}/checkers/`, (route) =>
      route.fulfill({ contentType: 'text/html', body: '<!doctype html><video muted width="320"></video>' }),
    );
    await page.goto(`${BASE}/checkers/`);
    await page.addScriptTag({ content: await readFile(require.resolve(script), 'utf8') });
    await page.evaluate(() => Object.assign(window, { video: document.querySelector('video'), failed: [] }));
    await page.evaluate(begin, `${MEDIA}/${manifest}`);
    const over = () => /** @type {any} */ (window).video.ended || /** @type {any} */ (window).failed.length > 0;
    await page.waitForFunction(over, null, { timeout: READY_MS, polling: 100 });
    const played = await page.evaluate(() => {
      const { video, failed } = /** @type {any} */ (window);
      const frames = video.getVideoPlaybackQuality().totalVideoFrames;
      return { failed, frames, time_s: video.currentTime, duration_s: video.duration };
    });
    assert.deepEqual(played.failed, []);
    const isWhole = (/** @type {number} */ seconds) => Math.abs(seconds - SECONDS) < 0.1;
    assert.ok(isWhole(played.time_s) && isWhole(played.duration_s), JSON.stringify(played));
    // A busy machine may leave some out; a change of quality decodes some twice.
    assert.ok(played.frames > FRAMES * 0.9, JSON.stringify(played));
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}
