/** The quality menu's entries from the player's variant tracks. Pure. */

export interface VariantLike {
  id: number;
  active: boolean;
  height: number | null;
  width: number | null;
  frameRate?: number | null;
  bandwidth: number;
}

export interface Quality {
  trackId: number;
  label: string;
  height: number;
  bandwidth_bps: number;
  active: boolean;
}

/** One entry per size and frame rate, best first; of equal ones the highest bit rate stands for all. */
export function qualitiesOf(tracks: VariantLike[]): Quality[] {
  const best = new Map<string, Quality>();
  for (const track of tracks) {
    const label = labelOf(track);
    if (!label) continue;
    const known = best.get(label);
    const entry: Quality = {
      trackId: track.id,
      label,
      height: shortSide(track),
      bandwidth_bps: track.bandwidth,
      active: track.active || (known?.active ?? false),
    };
    if (!known || track.bandwidth > known.bandwidth_bps) best.set(label, entry);
    else known.active = entry.active;
  }
  return [...best.values()].sort((a, b) => b.height - a.height || b.bandwidth_bps - a.bandwidth_bps);
}

/** A portrait clip of 608x1080 is "608p": the short side is what people compare. */
function shortSide(track: VariantLike): number {
  const height = track.height ?? 0;
  return track.width ? Math.min(track.width, height) : height;
}

function labelOf(track: VariantLike): string | null {
  const side = shortSide(track);
  if (!side) return null;
  const fast = (track.frameRate ?? 0) > 34 ? String(Math.round(track.frameRate ?? 0)) : '';
  return `${side}p${fast}`;
}
