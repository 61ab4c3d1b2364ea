import { describe, expect, it } from 'vitest';
import { libraryPath, parseRoute, watchPath } from '../../src/lib/route';

describe('an address', () => {
  it('names its page', () => {
    expect(parseRoute('/', '')).toEqual({ page: 'library', q: '' });
    expect(parseRoute('/', '?q=%20two+words')).toEqual({ page: 'library', q: 'two words' });
    expect(parseRoute('/upload/', '')).toEqual({ page: 'upload' });
    expect(parseRoute('/v/0193abc', '')).toEqual({ page: 'watch', id: '0193abc' });
  });

  it('that we did not make is unknown, never an error', () => {
    for (const path of ['/v/', '/v/a/b', '/nope', '/v/%E0%A4%A', '//']) {
      expect(['unknown', 'library']).toContain(parseRoute(path, '').page);
    }
  });

  it('survives a round trip', () => {
    const id = 'a/b ?#%';
    expect(parseRoute(watchPath(id), '')).toEqual({ page: 'watch', id });
    const q = 'a&b=c #1';
    expect(parseRoute('/', libraryPath(q).slice(1))).toEqual({ page: 'library', q });
  });
});
