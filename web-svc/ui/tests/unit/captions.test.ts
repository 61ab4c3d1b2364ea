import { describe, expect, it } from 'vitest';
import { captionName, languageName, languageOfFile, languages, preferred } from '../../src/lib/captions';
import type { Caption } from '../../src/lib/video';

function caption(language: string, label: string | null = null): Caption {
  return { language, label, kind: 'subtitles', origin: 'uploaded', url: `/${language}.vtt` };
}

const ENGLISH = ['en'];

describe('the name of captions', () => {
  it('is the name of the language, with the label where it says more', () => {
    expect(captionName(caption('pt-BR'), ENGLISH)).toBe('Brazilian Portuguese');
    expect(captionName(caption('de', 'Directors'), ENGLISH)).toBe('German (Directors)');
    expect(captionName(caption('de', 'German forced'), ENGLISH)).toBe('German forced');
  });

  it('is never empty, whatever the tag', () => {
    expect(languageName('und', ENGLISH)).toBe('Unknown language');
    expect(languageName('qaa', ENGLISH)).toBe('qaa');
    expect(languageName('not a tag', ENGLISH)).toBe('not a tag');
  });
});

it('the language of a file is in its name', () => {
  const known = languages(ENGLISH);
  expect(languageOfFile('film.pt-BR.srt', known)).toBe('pt-BR');
  expect(languageOfFile('Film_2026 (DE).vtt', known)).toBe('de');
  expect(languageOfFile('film.srt', known)).toBeNull();
  expect(languageOfFile('de', known)).toBeNull();
});

it('captions are turned on in the language that was read last, else in one that the person reads, else in the first', () => {
  const offered = [caption('de'), caption('en'), caption('pt-BR')];
  expect(preferred(offered, 'pt-PT', ['en-GB', 'de'])?.language).toBe('pt-BR');
  expect(preferred(offered, null, ['fr', 'en-GB'])?.language).toBe('en');
  expect(preferred(offered, null, ['fr'])?.language).toBe('de');
  expect(preferred([], 'de', ['de'])).toBeUndefined();
});
