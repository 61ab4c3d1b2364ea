/** Parsers of other people read every manifest and every segment of a video that is ready. */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import * as MP4Box from 'mp4box';
import { parse } from 'mpd-parser';
import { bytes, FPS, FRAMES, MEDIA, playlists, ready, SECONDS, text } from './video.mjs';

/** A block of AAC is the least that sound can be longer than its picture. */
const AAC_BLOCK_S = 1024 / 48_000;

/** @param {number} one @param {number} other */
const byNumber = (one, other) => one - other;

before(ready);

/** @param {number} actual @param {number} wanted @param {number} tolerance @param {string} what */
function assertNear(actual, wanted, tolerance, what) {
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${what}: ${actual} and not ${wanted}`);
}

test('hls-parser takes every playlist in strict mode, and the segments add up', async () => {
  const { master, pictures, sound } = await playlists();
  assert.ok(master.variants.length >= 2, 'several qualities');
  for (const variant of master.variants) {
    assert.ok(variant.resolution?.height && variant.codecs && variant.frameRate, JSON.stringify(variant));
  }
  assert.ok(sound.length === 1, 'one track of sound');
  for (const { url, playlist } of [...pictures, ...sound]) {
    assert.ok(playlist.endlist && playlist.playlistType === 'VOD', url);
    const durations = playlist.segments.map((/** @type {any} */ segment) => segment.duration);
    assert.ok(Math.round(Math.max(...durations)) <= playlist.targetDuration, url);
    let sum = 0;
    for (const duration of durations) sum += duration;
    assertNear(sum, SECONDS, AAC_BLOCK_S, url);
  }
});

test('mpd-parser finds the same segments in the MPD', async () => {
  /** @type {unknown[]} */
  const complaints = [];
  const manifestUri = `${MEDIA}/manifest.mpd`;
  const eventHandler = (/** @type {any} */ event) => event.type === 'warn' && complaints.push(event.message);
  const manifest = parse(await text(manifestUri), { manifestUri, eventHandler });
  assert.deepEqual(complaints, []);
  assertNear(manifest.duration, SECONDS, AAC_BLOCK_S, 'the whole');
  const { pictures, sound } = await playlists();
  const inDash = (/** @type {any} */ list) => list.segments.map((/** @type {any} */ segment) => segment.resolvedUri);
  const inHls = (/** @type {any} */ { url, playlist }) =>
    playlist.segments.map((/** @type {any} */ segment) => new URL(segment.uri, url).href);
  const sort = (/** @type {any[]} */ lists) => lists.map((list) => JSON.stringify(list)).sort();
  assert.deepEqual(sort(manifest.playlists.map(inDash)), sort(pictures.map(inHls)));
  const groups = Object.values(manifest.mediaGroups.AUDIO.audio ?? {});
  const heard = groups.flatMap((/** @type {any} */ group) => group.playlists);
  assert.deepEqual(sort(heard.map(inDash)), sort(sound.map(inHls)));
});

/** All samples of a rendition, by a parser that is not ours. @param {any} rendition */
async function samples({ url, playlist }) {
  const file = MP4Box.createFile();
  /** @type {unknown[]} */
  const complaints = [];
  file.onError = (/** @type {unknown[]} */ ...what) => complaints.push(what);
  const names = [playlist.segments[0].map.uri, ...playlist.segments.map((/** @type {any} */ segment) => segment.uri)];
  let offset = 0;
  for (const name of names) {
    const content = /** @type {any} */ (await bytes(new URL(name, url).href));
    content.fileStart = offset;
    offset += content.byteLength;
    file.appendBuffer(content);
  }
  file.flush();
  assert.deepEqual(complaints, []);
  const info = file.getInfo();
  assert.equal(info.tracks.length, 1, url);
  return { track: info.tracks[0], samples: file.getTrackSamplesInfo(info.tracks[0].id) };
}

test('mp4box finds every picture once, in order and without a gap', async () => {
  const { pictures } = await playlists();
  for (const rendition of pictures) {
    const found = await samples(rendition);
    assert.equal(found.samples.length, FRAMES, rendition.url);
    const ticks = found.samples[0].timescale / FPS;
    for (const [index, sample] of found.samples.entries()) {
      assert.deepEqual([sample.dts, sample.duration], [index * ticks, ticks], `${rendition.url}, sample ${index}`);
    }
    const shown = new Set(found.samples.map((/** @type {any} */ sample) => sample.cts / ticks));
    assert.deepEqual([...shown].sort(byNumber), [...Array(FRAMES).keys()], rendition.url);
    const keyframes = found.samples.filter((/** @type {any} */ sample) => sample.is_sync).length;
    assert.ok(keyframes >= rendition.playlist.segments.length, 'a keyframe for each segment');
  }
});

test('mp4box finds the sound in blocks that follow each other to the end of the picture', async () => {
  const [sound] = (await playlists()).sound;
  const found = await samples(sound);
  for (const [index, sample] of found.samples.entries()) {
    assert.deepEqual([sample.dts, sample.duration], [index * 1024, 1024], `block ${index}`);
  }
  assertNear((found.samples.length * 1024) / 48_000, SECONDS, AAC_BLOCK_S, sound.url);
});
