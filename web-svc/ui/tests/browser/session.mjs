/** A real Chromium on a real server, which keeps what it saw: requests, page errors, screenshots. */

import assert from 'node:assert/strict';
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

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
];
/** A step of the page itself; waiting for the transcode has its own, longer deadline. */
const STEP_MS = 20_000;

export const WIDTHS = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };

/** @param {string} name @returns {string} */
export function fromEnvironment(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: see tests/browser/README.md`);
  return value;
}

export class Session {
  /** @param {string} base @param {string} profile @param {import('playwright-core').BrowserContext} context */
  constructor(base, profile, context) {
    this.base = base;
    this.profile = profile;
    this.context = context;
    this.page = context.pages()[0] ?? assert.fail('Chromium opened without a page');
    /** @type {string[]} */
    this.foreignRequests = [];
    /** @type {string[]} */
    this.pageErrors = [];
    this.#listen();
  }

  static async open(base = fromEnvironment('TRITON_URL')) {
    const profile = await mkdtemp(path.join(tmpdir(), 'triton-browser-'));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM,
      args: FLAGS,
      viewport: WIDTHS.desktop,
      locale: 'en-GB',
    });
    context.setDefaultTimeout(STEP_MS);
    const session = new Session(new URL(base).origin, profile, context);
    await session.#listenForViolations();
    return session;
  }

  async close() {
    await this.context.close();
    await rm(this.profile, { recursive: true, force: true });
  }

  /** Loads a page of the server as someone does who types its address. @param {string} address */
  async visit(address) {
    await this.page.goto(this.base + address);
  }

  /** The page in both widths and both colour schemes; fails when it is wider than its window. @param {string} name */
  async picture(name) {
    const folder = fromEnvironment('TRITON_SCREENSHOTS');
    await mkdir(folder, { recursive: true });
    for (const [width, viewport] of Object.entries(WIDTHS)) {
      await this.page.setViewportSize(viewport);
      for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
        await this.page.emulateMedia({ colorScheme });
        await this.page.screenshot({ path: path.join(folder, `${name}-${width}-${colorScheme}.png`) });
      }
      const extra_px = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(extra_px <= 0, `${name} is ${extra_px} px too wide at ${width} width`);
    }
    await this.page.setViewportSize(WIDTHS.desktop);
    await this.page.emulateMedia({ colorScheme: 'light' });
  }

  /** @param {string} id */
  async forget(id) {
    const answer = await fetch(`${this.base}/api/v1/videos/${id}`, { method: 'DELETE' });
    assert.ok(answer.ok || answer.status === 404, `deleting ${id} answered ${answer.status}`);
  }

  #listen() {
    const note = (/** @type {string} */ address) => {
      const url = new URL(address);
      const isOwn = url.origin === this.base || ['data:', 'blob:', 'about:'].includes(url.protocol);
      if (!isOwn) this.foreignRequests.push(address);
    };
    // `request` comes for every attempt that the page's security policy lets through, also for those that fail.
    this.context.on('request', (request) => note(request.url()));
    this.context.on('page', (page) => this.#listenTo(page, note));
    this.#listenTo(this.page, note);
  }

  /** What the security policy stops never becomes a request: it counts as one all the same. */
  async #listenForViolations() {
    await this.context.exposeFunction('noteViolation', (/** @type {string} */ what) => this.foreignRequests.push(what));
    await this.context.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) => {
        /** @type {any} */ (window).noteViolation(event.blockedURI);
      });
    });
  }

  /** @param {import('playwright-core').Page} page @param {(address: string) => void} note */
  #listenTo(page, note) {
    page.on('websocket', (socket) => note(socket.url()));
    page.on('pageerror', (error) => this.pageErrors.push(String(error)));
  }
}
