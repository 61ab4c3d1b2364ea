/** Names and choice of captions. Pure but for the one wish that the browser remembers. */

import type { Caption } from './video';

/** What the form offers; any other tag can be typed. */
const LANGUAGES =
  'ar be bg bn ca cs cy da de el en eo es es-419 et eu fa fi fr ga gl he hi hr hu hy id is it ja ka ko la lt lv mk ms nb nl ' +
  'pl pt pt-BR ro ru sk sl sr sv th tr uk vi zh-Hans zh-Hant';

export interface Named {
  tag: string;
  name: string;
}

/** The name of a language in the person's own. */
export function languageName(tag: string, locales: readonly string[] = navigator.languages): string {
  if (tag === 'und') return 'Unknown language';
  try {
    return new Intl.DisplayNames([...locales], { type: 'language', fallback: 'code' }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** All languages of the form, by their names. */
export function languages(locales: readonly string[] = navigator.languages): Named[] {
  const named = LANGUAGES.split(' ').map((tag) => ({ tag, name: languageName(tag, locales) }));
  return named.sort((a, b) => a.name.localeCompare(b.name, locales[0]));
}

/** What a menu shows. */
export function captionName(caption: Caption, locales: readonly string[] = navigator.languages): string {
  const language = languageName(caption.language, locales);
  const { label } = caption;
  if (!label) return language;
  return label.toLowerCase().includes(language.toLowerCase()) ? label : `${language} (${label})`;
}

/** The language in the name of a file, such as `film.pt-BR.srt`, if it is one of those. */
export function languageOfFile(name: string, known: Named[]): string | null {
  const parts = name.toLowerCase().split(/[._ ()[\]]+/).slice(0, -1);
  return known.find(({ tag }) => parts.includes(tag.toLowerCase()))?.tag ?? null;
}

/** Captions in the language that was wished for last, else in one that the person reads, else the first. */
export function preferred(captions: Caption[], wish: string | null, locales: readonly string[]): Caption | undefined {
  for (const tag of [wish, ...locales].filter((tag) => tag !== null)) {
    const primary = tag.split('-')[0];
    const found =
      captions.find(({ language }) => language === tag) ?? captions.find(({ language }) => language.split('-')[0] === primary);
    if (found) return found;
  }
  return captions[0];
}

const KEY = 'tritontube-captions';

/** The language in which the person read last; null where captions are off. */
export function rememberedLanguage(): string | null {
  try {
    return localStorage.getItem(KEY) || null;
  } catch {
    return null;
  }
}

export function rememberLanguage(language: string | null): void {
  try {
    localStorage.setItem(KEY, language ?? '');
  } catch {
    // Without storage the wish lasts as long as the page.
  }
}
