/** Which captions a media element shows. */

import { preferred, rememberedLanguage, rememberLanguage } from '../lib/captions';
import type { Caption } from '../lib/video';

export class CaptionChoice {
  /** The language that is wished for, whether or not there are captions in it. */
  #wish: string | null = $state(rememberedLanguage());
  #last: string | null = this.#wish;
  #captions: Caption[] = $state.raw([]);
  #video: HTMLVideoElement | null = null;

  /** The captions that are shown. */
  readonly shown: Caption | undefined = $derived(this.#captions.find(({ language }) => language === this.#wish));

  /** Follows an element until the returned function is called: the browser's own menus change its tracks, too. */
  attach(video: HTMLVideoElement): () => void {
    const tracks = video.textTracks;
    const changed = (): void => this.#read();
    const apply = (): void => this.#apply();
    this.#video = video;
    tracks.addEventListener('change', changed);
    tracks.addEventListener('addtrack', apply);
    return () => {
      this.#video = null;
      tracks.removeEventListener('change', changed);
      tracks.removeEventListener('addtrack', apply);
    };
  }

  /** To be called when the tracks of these captions are in the document. */
  offer(captions: Caption[]): void {
    this.#captions = captions;
    this.#apply();
  }

  choose(language: string | null): void {
    this.#wish = language;
    this.#last = language ?? this.#last;
    rememberLanguage(language);
    this.#apply();
  }

  /** Off, or on in the language that was read last. */
  toggle(): void {
    const next = this.shown ? undefined : preferred(this.#captions, this.#last, navigator.languages);
    this.choose(next?.language ?? null);
  }

  #apply(): void {
    for (const track of this.#tracks()) {
      const mode = track.language === this.#wish ? 'showing' : 'disabled';
      if (track.mode !== mode) track.mode = mode;
    }
  }

  #read(): void {
    const tracks = this.#tracks();
    const showing = tracks.find((track) => track.mode === 'showing');
    // A wish that no track meets is not given up.
    if (!showing && !tracks.some((track) => track.language === this.#wish)) return;
    const language = showing?.language ?? null;
    if (language !== this.#wish) this.choose(language);
  }

  /** The thumbnails are a track, too. */
  #tracks(): TextTrack[] {
    const all = [...(this.#video?.textTracks ?? [])];
    return all.filter(({ kind }) => kind === 'subtitles' || kind === 'captions');
  }
}
