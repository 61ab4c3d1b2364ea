/** What plays on the watch page, read from the media element and the player that the page exposes. */

import assert from 'node:assert/strict';

/** @typedef {import('playwright-core').Page} Page */

/**
 * @typedef {object} Playing
 * @property {number} time_s
 * @property {number} duration_s
 * @property {number} height
 * @property {number} framesDecoded
 * @property {boolean} paused
 * @property {boolean} muted
 * @property {number} volume
 * @property {boolean} fullScreen
 * @property {number[]} heights of the video tracks on offer
 */

/** @param {Page} page @returns {Promise<Playing>} */
export function playing(page) {
  return page.evaluate(() => {
    const { player, video } = /** @type {any} */ (window).triton;
    const frames = video.getVideoPlaybackQuality();
    /** @type {number[]} */
    const heights = player.getVariantTracks().map((/** @type {any} */ track) => track.height);
    return {
      time_s: video.currentTime,
      duration_s: video.duration,
      height: video.videoHeight,
      framesDecoded: frames.totalVideoFrames - frames.droppedVideoFrames,
      paused: video.paused,
      muted: video.muted,
      volume: video.volume,
      fullScreen: document.fullscreenElement !== null,
      heights: [...new Set(heights)].sort((a, b) => a - b),
    };
  });
}

/**
 * Waits until what plays satisfies the condition, and gives it back.
 * @param {Page} page @param {string} what @param {(now: Playing) => boolean} condition
 */
export async function until(page, what, condition, deadline_ms = 20_000) {
  const end = Date.now() + deadline_ms;
  for (;;) {
    const now = await playing(page);
    if (condition(now)) return now;
    assert.ok(Date.now() < end, `${what}: not within ${deadline_ms} ms, the player says ${JSON.stringify(now)}`);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
}

/** Waits until the page has a player with tracks and a first picture. @param {Page} page */
export async function untilLoaded(page) {
  await page.waitForFunction(() => /** @type {any} */ (window).triton?.video.readyState >= 2);
}

/** Plays from the beginning, as a short clip may have ended in the meantime. @param {Page} page */
export async function playFromStart(page) {
  await page.keyboard.press('0');
  if ((await playing(page)).paused) await page.keyboard.press('k');
  return until(page, 'playing from the start', (now) => !now.paused && now.time_s < now.duration_s / 2);
}

/**
 * Picks an entry of the quality menu with the mouse: 0 is automatic, then best first, -1 the least.
 * @param {Page} page @param {number} place
 */
export async function pickQuality(page, place) {
  await page.locator('media-controller').hover();
  await page.getByRole('button', { name: /^Quality/ }).click();
  await page.getByRole('menu', { name: 'Quality' }).getByRole('menuitemradio').nth(place).click();
}
