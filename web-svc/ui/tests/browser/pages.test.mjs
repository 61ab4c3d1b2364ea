/** What the page says when there is little or something wrong to show. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fromEnvironment, Session } from './session.mjs';

/** @type {Session} */
let session;
let folder = '';

before(async () => {
  session = await Session.open();
  folder = await mkdtemp(path.join(tmpdir(), 'triton-files-'));
});

after(async () => {
  await session.close();
  await rm(folder, { recursive: true, force: true });
});

test('a text file named .mp4 is refused with words that help', { timeout: 120_000 }, async () => {
  const { page } = session;
  const file = path.join(folder, 'holiday.mp4');
  await writeFile(file, 'This is a letter, not a video.\n'.repeat(200));
  await session.visit('/upload');
  await page.getByLabel('Video files').setInputFiles(file);
  const row = page.locator('li[data-stage]');
  const notice = row.getByRole('alert');
  await notice.waitFor({ timeout: 60_000 });
  await session.picture('upload-refused');
  const text = await notice.innerText();
  assert.ok(text.split('\n').filter(Boolean).length >= 2, `what happened and what to do: ${text}`);
  assert.doesNotMatch(text, /undefined|\[object|null/);
  assert.notEqual(await row.getAttribute('data-state'), 'ready');

  const link = row.getByRole('link');
  if ((await link.count()) > 0) await session.forget((await link.getAttribute('href'))?.split('/').pop() ?? '');
});

test('an upload that is cancelled leaves nothing behind', async () => {
  const { page } = session;
  const file = path.join(folder, 'large.mp4');
  await writeFile(file, Buffer.alloc(32 << 20, 7));
  await session.visit('/upload');
  const network = await session.context.newCDPSession(page);
  const slow = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 500_000 };
  await network.send('Network.emulateNetworkConditions', slow);
  await page.getByLabel('Video files').setInputFiles(file);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('li[data-stage=cancelled]').waitFor();
  await network.send('Network.emulateNetworkConditions', { ...slow, uploadThroughput: -1 });
  const answer = await fetch(`${session.base}/api/v1/videos?q=large&limit=100`);
  const { items } = /** @type {{ items: { title: string }[] }} */ (await answer.json());
  assert.deepEqual(items.filter((video) => video.title === 'large'), []);
});

test('an upload goes on after a reload of the page when the same file is chosen again', { timeout: 120_000 }, async () => {
  const { page } = session;
  const file = path.join(folder, 'resumed.mp4');
  // A real clip with a box behind it that players skip, so that there is time to reload in the middle.
  const clip = await readFile(fromEnvironment('TRITON_CLIP'));
  const box = Buffer.alloc(16 << 20);
  box.writeUInt32BE(box.length);
  box.write('free', 4);
  const content = Buffer.concat([clip, box]);
  await writeFile(file, content);
  await session.visit('/upload');
  const network = await session.context.newCDPSession(page);
  const slow = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: content.length / 5 };
  await network.send('Network.emulateNetworkConditions', slow);
  await page.getByLabel('Video files').setInputFiles(file);
  await page.waitForFunction(() => {
    const share = Number(document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow'));
    return share > 60 && share < 100;
  });
  await page.reload();
  await network.send('Network.emulateNetworkConditions', { ...slow, uploadThroughput: -1 });

  /** @type {{ method: string, offset: number }[]} */
  const sent = [];
  page.on('request', (request) => {
    if (!request.url().includes('/api/v1/uploads')) return;
    sent.push({ method: request.method(), offset: Number(request.headers()['upload-offset'] ?? -1) });
  });
  await page.getByLabel('Video files').setInputFiles(file);
  const link = page.locator('li[data-stage]').getByRole('link', { name: /Watch|Open its page/ });
  await link.waitFor({ timeout: 60_000 });
  const id = (await link.getAttribute('href'))?.split('/').pop() ?? '';
  assert.deepEqual(sent.filter(({ method }) => method === 'POST'), [], 'no new upload was begun');
  const first = sent.find(({ method }) => method === 'PATCH');
  assert.ok((first?.offset ?? 0) > content.length / 4, `it went on at ${first?.offset} of ${content.length}`);
  const download = await fetch(`${session.base}/api/v1/videos/${id}/download`);
  assert.ok(content.equals(new Uint8Array(await download.arrayBuffer())), 'the original is the file');
  await session.forget(id);
});

test('a search without results, an unknown page and an unknown video each offer a way on', async () => {
  const { page } = session;
  await session.visit('/?q=zzzznothinghasthisnamezzzz');
  await page.getByRole('heading', { name: 'Nothing found' }).waitFor();
  await session.picture('library-nothing-found');
  await session.visit('/no/such/page');
  await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
  await session.picture('unknown-page');
  await session.visit('/v/nosuchvideo');
  await page.getByRole('heading', { name: 'This video does not exist' }).waitFor();
  await page.getByRole('main').getByRole('link', { name: 'Go to the library' }).click();
  await page.getByRole('heading', { level: 1, name: 'Library' }).waitFor();
});

/** States that a real server passes through too quickly, or that a test cannot wait for. */
const RARE = [
  { id: 'emoji', title: '😀'.repeat(300), state: 'processing', progress: 0.42 },
  { id: 'markup', title: '<script>window.broken=1</script><b>bold</b> & "quotes"', state: 'queued', progress: 0 },
  { id: 'word', title: 'Averylongwordwithoutanyspace'.repeat(12), state: 'failed', progress: 0, reason: 'The file ends in the middle.' },
].map((video) => ({
  description: '', playable: false, renditions: [], captions: [], playback: null, visibility: 'public', duration_ms: 3_723_000,
  created_at: new Date().toISOString(), original_bytes: 5_000_000, ...video,
}));

test('titles of any length and every state fit the page at both widths', async () => {
  const { page } = session;
  await page.route(/\/api\/v1\/videos(\?.*)?$/, (route) => route.fulfill({ json: { items: RARE, next_cursor: null } }));
  await page.route(/\/api\/v1\/videos\/\w+$/, (route) =>
    route.fulfill({ json: RARE.find((video) => route.request().url().endsWith(video.id)) }));
  await page.route(/\/events$/, (route) => route.fulfill({ status: 503 }));
  await session.visit('/');
  await page.locator('li[data-video=emoji]').waitFor();
  await session.picture('library-rare-states');
  for (const { id } of RARE) {
    await session.visit(`/v/${id}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await session.picture(`watch-${id}`);
  }
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).broken), undefined);
  await page.unrouteAll();
});

test('a server that is out of reach is named as the cause, and trying again helps', async () => {
  const { page } = session;
  await page.route(/\/api\/v1\/videos(\?.*)?$/, (route) => route.abort());
  await session.visit('/');
  await page.getByRole('alert').getByText('The server did not answer').waitFor();
  await session.picture('library-no-answer');
  await page.unrouteAll();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('alert').waitFor({ state: 'detached' });
});

test('no page asked another host for anything, and none failed', async () => {
  assert.deepEqual(session.foreignRequests, []);
  assert.deepEqual(session.pageErrors, []);

  // The guard itself is shown to work: a request to another host is seen although the security policy stops it.
  await session.page.evaluate(async () => {
    const stopped = new Promise((resolve) => addEventListener('securitypolicyviolation', resolve, { once: true }));
    await fetch('http://another-host.invalid/font.woff2').catch(() => null);
    await stopped;
  });
  assert.deepEqual([...new Set(session.foreignRequests)], ['http://another-host.invalid/font.woff2']);
});
