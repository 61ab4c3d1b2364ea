/** How fast a transfer runs and how long it will still take, from byte counts over time. Pure. */

/** The rate is measured over this window, so that it follows a changing network without jumping. */
const WINDOW_MS = 5_000;

export interface Sample {
  at_ms: number;
  bytes: number;
}

/** Adds a sample and forgets those older than the window, always keeping one to measure from. */
export function addSample(samples: Sample[], next: Sample): Sample[] {
  const firstInWindow = samples.findIndex((sample) => sample.at_ms >= next.at_ms - WINDOW_MS);
  const kept = firstInWindow < 0 ? samples.slice(-1) : samples.slice(Math.max(0, firstInWindow - 1));
  return [...kept, next];
}

/** Bytes per second, or null while there is too little to tell. */
export function rateOf(samples: Sample[]): number | null {
  const [first, last] = [samples.at(0), samples.at(-1)];
  if (!first || !last || last.at_ms - first.at_ms < 250) return null;
  return ((last.bytes - first.bytes) * 1000) / (last.at_ms - first.at_ms);
}

/** "about 20 seconds left", or an empty string while unknown. */
export function remainingText(bytesLeft: number, bytesPerSecond: number | null): string {
  if (bytesPerSecond === null || bytesPerSecond <= 0 || bytesLeft <= 0) return '';
  const left_s = bytesLeft / bytesPerSecond;
  if (left_s < 5) return 'a few seconds left';
  if (left_s < 60) return `about ${Math.ceil(left_s / 5) * 5} seconds left`;
  if (left_s < 3600) {
    const minutes = Math.ceil(left_s / 60);
    return minutes === 1 ? 'about a minute left' : `about ${minutes} minutes left`;
  }
  const hours = Math.round(left_s / 3600);
  return hours === 1 ? 'about an hour left' : `about ${hours} hours left`;
}
