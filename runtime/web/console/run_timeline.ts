/** A stretch of time; milliseconds since the epoch. */
export interface Span {
  from: number;
  to: number;
}

/** When something worked and when it waited. */
export interface WorkAndWait {
  work: Span[];
  wait: Span[];
}

/** A part of the axis on which nothing worked, drawn as a gap of fixed width. */
export interface Cut extends Span {
  /** Where the gap is drawn, in units of the axis. */
  x: number;
  width: number;
}

/** The time axis of a run: where each moment is drawn. */
export interface Axis extends Span {
  cuts: Cut[];
  /** The place of a moment, from 0 to {@link AXIS_WIDTH}. */
  place(at: number): number;
}

/** Units from the beginning of the axis to its end. */
export const AXIS_WIDTH = 1_000;
/** A wait of all branches is cut if it takes more than this share of what is drawn to scale. */
const LONGEST_WAIT = 0.1;
/** Shorter waits, in milliseconds, are not cut: so short a pause between steps is not a wait. */
const SHORTEST_CUT = 1_000;
/** The most units for all gaps together, the most for one gap, and the fewest for work between gaps. */
const GAPS = 480;
const WIDEST_GAP = 140;
const SHORTEST = 24;
/** More gaps than this would leave no room for the work between them. */
const MOST_CUTS = 4;

/** Spans in order, joined where they overlap or are closer than `within`. */
export function joinSpans(spans: Span[], within = 0): Span[] {
  const joined: Span[] = [];
  for (const { from, to } of spans.toSorted((a, b) => a.from - b.from)) {
    const last = joined.at(-1);
    if (last !== undefined && from <= last.to + within) last.to = Math.max(last.to, to);
    else joined.push({ from, to });
  }
  return joined;
}

/** Milliseconds that spans cover together. @param spans joined */
export function lengthOf(spans: Span[]): number {
  return spans.reduce((sum, { from, to }) => sum + to - from, 0);
}

/**
 * The axis of a run. Waits during which no branch works are cut, longest first, until none takes more than a tenth of what
 * remains to scale.
 * @param work of all steps, joined
 */
export function layOutAxis(whole: Span, work: Span[]): Axis {
  // If nothing has worked, no wait needs to be cut.
  const gaps = work.length === 0 ? [] : longestFirst(gapsBetween(whole, work));
  const chosen: Span[] = [];
  let toScale = whole.to - whole.from;
  for (const gap of gaps.slice(0, MOST_CUTS)) {
    const length = gap.to - gap.from;
    if (length < SHORTEST_CUT || length <= toScale * LONGEST_WAIT) break;
    chosen.push(gap);
    toScale -= length;
  }
  return place(whole, chosen.sort((a, b) => a.from - b.from), toScale);
}

function gapsBetween({ from, to }: Span, work: Span[]): Span[] {
  const gaps: Span[] = [];
  let at = from;
  for (const span of work) {
    if (span.from > at) gaps.push({ from: at, to: span.from });
    at = Math.max(at, span.to);
  }
  if (to > at) gaps.push({ from: at, to });
  return gaps;
}

function longestFirst(spans: Span[]): Span[] {
  return spans.sort((a, b) => b.to - b.from - (a.to - a.from));
}

function place(whole: Span, chosen: Span[], toScale: number): Axis {
  const shortest = chosen.length === 0 ? 0 : SHORTEST;
  const gap = Math.min(WIDEST_GAP, GAPS / chosen.length);
  const room = AXIS_WIDTH - (chosen.length && chosen.length * gap) - (chosen.length + 1) * shortest;
  const widthOf = (length: number) => shortest + (toScale > 0 ? room * length / toScale : room / (chosen.length + 1));
  /** Where each stretch begins and ends, in time and in units. */
  const stretches: (Span & { x: number; width: number })[] = [];
  const cuts: Cut[] = [];
  let [at, x] = [whole.from, 0];
  for (const cut of chosen) {
    const width = widthOf(cut.from - at);
    stretches.push({ from: at, to: cut.from, x, width }, { ...cut, x: x + width, width: gap });
    cuts.push(stretches.at(-1)!);
    [at, x] = [cut.to, x + width + gap];
  }
  stretches.push({ from: at, to: whole.to, x, width: AXIS_WIDTH - x });
  const placeOf = (moment: number) => {
    const stretch = stretches.find(({ to }) => moment <= to) ?? stretches.at(-1)!;
    const length = stretch.to - stretch.from;
    const share = length > 0 ? (moment - stretch.from) / length : 0;
    return stretch.x + stretch.width * Math.min(1, Math.max(0, share));
  };
  return { ...whole, cuts, place: placeOf };
}
