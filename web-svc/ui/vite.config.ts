import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

/** Where `npm run dev` finds a running web-svc; the built page is always served by web-svc itself. */
const server = process.env.TRITON_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: ['es2022', 'safari17'],
    // web-svc embeds dist/ and caches assets/ for ever, so every asset name carries its hash and
    // nothing is inlined as a data: URL that a content security policy would have to allow.
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1100,
    // The licences of what is bundled ask to go with it; kept outside the dot folder that is Vite's default.
    license: { fileName: 'licenses.md' },
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/api': server, '/media': server },
  },
});
