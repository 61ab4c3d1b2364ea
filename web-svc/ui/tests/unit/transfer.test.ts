import { describe, expect, it } from 'vitest';
import { addSample, rateOf, remainingText, type Sample } from '../../src/lib/transfer';

function run(points: [number, number][]): Sample[] {
  return points.reduce<Sample[]>((samples, [at_ms, bytes]) => addSample(samples, { at_ms, bytes }), []);
}

describe('the rate of a transfer', () => {
  it('is unknown at the beginning', () => {
    expect(rateOf(run([]))).toBeNull();
    expect(rateOf(run([[0, 0], [100, 5_000]]))).toBeNull();
  });

  it('is bytes per second', () => {
    expect(rateOf(run([[0, 0], [1_000, 2_000], [2_000, 4_000]]))).toBe(2_000);
  });

  it('follows a network that slows down', () => {
    const fast = Array.from({ length: 20 }, (_, i): [number, number] => [i * 500, i * 500_000]);
    const slow = Array.from({ length: 20 }, (_, i): [number, number] => [10_000 + i * 500, 9_500_000 + i * 500]);
    const rate = rateOf(run([...fast, ...slow])) ?? 0;
    expect(rate).toBeGreaterThan(0);
    expect(rate).toBeLessThan(2_000);
  });

  it('keeps a bounded number of samples', () => {
    const samples = run(Array.from({ length: 5_000 }, (_, i): [number, number] => [i * 50, i]));
    expect(samples.length).toBeLessThan(110);
  });
});

describe('the time left', () => {
  it('is said roughly', () => {
    expect(remainingText(100, 100)).toBe('a few seconds left');
    expect(remainingText(2_300, 100)).toBe('about 25 seconds left');
    expect(remainingText(6_000, 100)).toBe('about a minute left');
    expect(remainingText(90_000, 100)).toBe('about 15 minutes left');
    expect(remainingText(720_000, 100)).toBe('about 2 hours left');
  });

  it('is not guessed', () => {
    expect(remainingText(100, null)).toBe('');
    expect(remainingText(100, 0)).toBe('');
    expect(remainingText(0, 100)).toBe('');
  });
});
