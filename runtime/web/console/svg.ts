import { type Markup, markup } from "./markup.ts";
import type { Tone } from "./words.ts";

/**
 * A strip of cells from old to new. Failures are also taller than the rest, so that they are seen without colour.
 * @param label a description for screen readers
 * @param slots its width in cells; cells fill it from the right
 */
export function strip(label: string, tones: readonly Tone[], slots = tones.length): Markup {
  const first = slots - tones.length;
  // One path for all cells of a tone: a page has fifty strips.
  const paths = [...new Set(tones)].map((tone) => {
    const [y, height] = tone === "bad" ? [1, 14] : [5, 10];
    const cells = tones.flatMap((own, index) => own === tone ? `M${(first + index) * 6} ${y}h5v${height}h-5z` : []);
    return markup`<path class="${tone}" d="${cells.join("")}"/>`;
  });
  return markup`<svg class="strip" role="img" aria-label="${label}" width="${slots * 6}" height="16" viewBox="0 0 ${
    slots * 6
  } 16">${paths}</svg>`;
}

/** One bar of a chart: how many of each tone, from below. */
export interface Bar {
  counts: readonly (readonly [tone: Tone, count: number])[];
  title?: string;
}

/** Bars from old to new over the whole width. The height of a bar is its share of the highest. @param height in pixels */
export function bars(label: string, all: readonly Bar[], height = 40): Markup {
  const totals = all.map(({ counts }) => counts.reduce((sum, [, count]) => sum + count, 0));
  const most = Math.max(1, ...totals);
  return markup`<svg class="bars" role="img" aria-label="${label}" width="100%" height="${height}" viewBox="0 0 ${
    all.length * 6
  } ${height}" preserveAspectRatio="none">${all.map((bar, index) => drawBar(bar, index * 6, height, most))}</svg>`;
}

function drawBar({ counts, title }: Bar, x: number, height: number, most: number): Markup {
  let top = height;
  const parts = counts.filter(([, count]) => count > 0).map(([tone, count]) => {
    // One failure among thousands must stay visible.
    const size = Math.max(2, count / most * (height - 2));
    top -= size;
    return markup`<rect class="${tone}" x="${x}" y="${Math.max(0, top).toFixed(1)}" width="5" height="${
      size.toFixed(1)
    }"/>`;
  });
  return markup`<g>${title !== undefined && markup`<title>${title}</title>`}${parts}<rect class="floor" x="${x}" y="${
    height - 1
  }" width="5" height="1"/></g>`;
}
