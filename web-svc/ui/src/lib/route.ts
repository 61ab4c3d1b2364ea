/** The addresses of the page. Pure: the history API is in navigation.svelte.ts. */

export type Route =
  | { page: 'library'; q: string }
  | { page: 'upload' }
  | { page: 'watch'; id: string }
  | { page: 'unknown' };

export function parseRoute(pathname: string, search: string): Route {
  const path = pathname.length > 1 ? pathname.replace(/\/+$/, '') : pathname;
  if (path === '/' || path === '') return { page: 'library', q: new URLSearchParams(search).get('q')?.trim() ?? '' };
  if (path === '/upload') return { page: 'upload' };
  const watch = /^\/v\/([^/]+)$/.exec(path);
  const id = watch?.[1] ? decodeId(watch[1]) : null;
  return id ? { page: 'watch', id } : { page: 'unknown' };
}

export function libraryPath(q = ''): string {
  return q ? `/?${new URLSearchParams({ q })}` : '/';
}

export function watchPath(id: string): string {
  return `/v/${encodeURIComponent(id)}`;
}

function decodeId(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
