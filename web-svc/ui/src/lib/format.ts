/** Numbers and dates as people read them. Pure functions. */

import { TITLE_CHARS_MAX } from './video';

/** 0:07, 12:34, 1:02:03. */
export function formatDuration(duration_ms: number | null | undefined): string {
  if (duration_ms == null || !Number.isFinite(duration_ms) || duration_ms < 0) return '';
  const total_s = Math.round(duration_ms / 1000);
  const [h, m, s] = [Math.floor(total_s / 3600), Math.floor((total_s % 3600) / 60), total_s % 60];
  const seconds = String(s).padStart(2, '0');
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${seconds}` : `${m}:${seconds}`;
}

/** The same duration for a screen reader: "1 hour 2 minutes 3 seconds". */
export function speakDuration(duration_ms: number | null | undefined): string {
  const text = formatDuration(duration_ms);
  if (!text) return '';
  const parts = text.split(':').map(Number).reverse();
  const names = ['second', 'minute', 'hour'];
  const spoken = parts.map((count, i) => (count > 0 ? `${count} ${names[i]}${count === 1 ? '' : 's'}` : ''));
  return spoken.reverse().filter(Boolean).join(' ') || '0 seconds';
}

/** Binary units with three digits: 999 B, 1.00 KiB, 14.3 MiB. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit === 0) return `${Math.round(value)} B`;
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** Decimal units, as bit rates are written: 850 kb/s, 5.0 Mb/s. */
export function formatBitrate(bits_per_second: number): string {
  if (bits_per_second < 1_000_000) return `${Math.round(bits_per_second / 1000)} kb/s`;
  return `${(bits_per_second / 1_000_000).toFixed(1)} Mb/s`;
}

export function formatPercent(share: number): string {
  return `${Math.floor(clampShare(share) * 100)} %`;
}

/** NaN and values outside 0 to 1 come from half-filled progress events. */
export function clampShare(share: number): number {
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
}

/** 3 November 2026; the reader's own locale decides how. */
export function formatDate(rfc3339: string, locale?: string): string {
  const date = new Date(rfc3339);
  if (Number.isNaN(date.getTime())) return '';
  return new Intl.DateTimeFormat(locale, { dateStyle: 'long' }).format(date);
}

/** "5 minutes ago" for the last month, a date before that. */
export function formatAgo(rfc3339: string, now_ms: number, locale?: string): string {
  const then_ms = Date.parse(rfc3339);
  if (Number.isNaN(then_ms)) return '';
  const ago_s = Math.max(0, Math.round((now_ms - then_ms) / 1000));
  if (ago_s < 45) return 'just now';
  const steps: [Intl.RelativeTimeFormatUnit, number, number][] = [
    ['minute', 60, 3600],
    ['hour', 3600, 86_400],
    ['day', 86_400, 86_400 * 30],
  ];
  for (const [unit, unit_s, until_s] of steps) {
    if (ago_s < until_s) {
      const count = Math.max(1, Math.round(ago_s / unit_s));
      return new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(-count, unit);
    }
  }
  return formatDate(rfc3339, locale);
}

/** A title to start from: the file's name without folders, extension and separators, cut to the server's limit. */
export function titleFromFileName(name: string): string {
  const base = name.split(/[\\/]/).pop() ?? name;
  const stem = base.replace(/\.[A-Za-z0-9]{1,5}$/, '');
  const words = stem.replace(/[_.]+/g, ' ').replace(/\s+/g, ' ').trim();
  return [...words].slice(0, TITLE_CHARS_MAX).join('') || 'Untitled video';
}
