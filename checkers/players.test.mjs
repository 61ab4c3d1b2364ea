/** Players of other people play a video that is ready to its end, without a complaint. */

import { before, test } from 'node:test';
import { playToTheEnd } from './player.mjs';
import { READY_MS, ready } from './video.mjs';

before(ready);

test('hls.js plays to the end', { timeout: READY_MS }, () => playToTheEnd('hls.js'));
test('shaka-player plays the MPD to the end', { timeout: READY_MS }, () => playToTheEnd('shaka'));
test('shaka-player plays the HLS to the end', { timeout: READY_MS }, () => playToTheEnd('shaka, HLS'));
