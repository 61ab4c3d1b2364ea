/** Parsers and players of other people on a video whose end is still being made. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'mpd-parser';
import { playToTheEnd } from './player.mjs';
import { MEDIA, once, playlists, READY_MS, text } from './video.mjs';

test('a growing video is read without a complaint, and hls.js plays it to its end', { timeout: READY_MS }, async () => {
  const { state } = await once((video) => video.playable);
  assert.equal(state, 'processing', 'it plays before all of it is made');
  const { pictures } = await playlists();
  const manifestUri = `${MEDIA}/manifest.mpd`;
  const manifest = parse(await text(manifestUri), { manifestUri });
  for (const { url, playlist } of pictures) {
    assert.ok(playlist.segments.length > 0 && playlist.playlistType === 'EVENT' && !playlist.endlist, url);
  }
  assert.ok(manifest.playlists.every((/** @type {any} */ list) => list.segments.length > 0), 'segments in the MPD');
  await playToTheEnd('hls.js');
});
