/** Client-side navigation over the history API. */

import { parseRoute, type Route } from './route';

/** The page's address as reactive state. One per page, because there is one address bar. */
class Navigation {
  route: Route = $state(parseRoute(location.pathname, location.search));

  constructor() {
    addEventListener('popstate', () => this.#read());
  }

  go(path: string): void {
    if (path === location.pathname + location.search) return;
    history.pushState(null, '', path);
    this.#read();
    scrollTo(0, 0);
  }

  /** Changes the address without a new entry in the history, as typing in the search box does. */
  replace(path: string): void {
    history.replaceState(null, '', path);
    this.#read();
  }

  #read(): void {
    this.route = parseRoute(location.pathname, location.search);
  }
}

export const navigation = new Navigation();

/** For the document: follows plain clicks on links to our own pages without a reload. */
export function followLink(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.('a[href]');
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute('download')) return;
  if (link.origin !== location.origin) return;
  if (parseRoute(link.pathname, link.search).page === 'unknown') return;
  if (link.hash && link.pathname === location.pathname) return;
  event.preventDefault();
  navigation.go(link.pathname + link.search);
}
