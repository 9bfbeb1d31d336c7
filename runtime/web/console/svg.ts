import { posix } from "node:path";
import type { Rule, Step } from "../../model/rule.ts";
import { isFinal, type Run } from "../../model/run.ts";
import { type Markup, markup, type Part } from "./markup.ts";
import { span, type Times } from "./times.ts";
import { type Tone, wordOf } from "./words.ts";

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

// ── graphs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A node of a graph, with its place on a grid. */
export interface GraphNode {
  id: string;
  label: string;
  column: number;
  row: number;
  /** Text without a box, as a label between other nodes. */
  isPlain?: boolean;
}

/** `next`: an arrow. `any`: a dotted arrow to one of several. `excludes`: a dashed line without a direction. */
export interface GraphEdge {
  from: string;
  to: string;
  kind: "next" | "any" | "excludes";
}

/** Longer labels are cut; the whole text is the tooltip. */
const LONGEST = 28;
/** Pixels of a character of the labels, and of a box beside its label. */
const CHARACTER = 8;
const PADDING = 20;
const BOX_HEIGHT = 28;
const GAP = { column: 56, row: 12 };
const EDGE = 8;

interface Box {
  x: number;
  y: number;
  width: number;
}

/**
 * A graph as SVG, from left to right. Data is in text elements only, because attributes are not masked.
 * @param label a description for screen readers; the page has to say the same in words
 */
export function graph(label: string, nodes: readonly GraphNode[], edges: readonly GraphEdge[]): Markup {
  const columns = Math.max(...nodes.map(({ column }) => column)) + 1;
  const widths = Array.from({ length: columns }, (_, column) => {
    const own = nodes.filter((node) => node.column === column).map(({ label }) => cut(label).length);
    return Math.max(0, ...own) * CHARACTER + PADDING;
  });
  const left = (column: number) => EDGE + widths.slice(0, column).reduce((sum, width) => sum + width + GAP.column, 0);
  const boxes = new Map(nodes.map(({ id, column, row }): [string, Box] => {
    return [id, { x: left(column), y: EDGE + row * (BOX_HEIGHT + GAP.row), width: widths[column] }];
  }));
  const width = left(columns) - GAP.column + EDGE;
  const height = EDGE + (Math.max(...nodes.map(({ row }) => row)) + 1) * (BOX_HEIGHT + GAP.row);
  return markup`<div class="graph" tabindex="0" role="region" aria-label="${label}"><svg role="img" aria-label="${label}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0l8 4l-8 4z"/></marker></defs>
${edges.map(({ from, to, kind }) => edgeOf(boxes.get(from)!, boxes.get(to)!, kind))}${
    nodes.map((node) => nodeOf(node, boxes.get(node.id)!))
  }</svg></div>`;
}

function nodeOf({ label, isPlain }: GraphNode, { x, y, width }: Box): Markup {
  const short = cut(label);
  const box: Part = !isPlain && markup`<rect x="${x}" y="${y}" width="${width}" height="${BOX_HEIGHT}" rx="3"/>`;
  return markup`<g${isPlain && markup` class="plain"`}>${
    short !== label && markup`<title>${label}</title>`
  }${box}<text x="${x + width / 2}" y="${y + BOX_HEIGHT / 2 + 4}">${short}</text></g>
`;
}

/** Between boxes of one column, the line runs beside them. */
function edgeOf(from: Box, to: Box, kind: GraphEdge["kind"]): Markup {
  const [a, b] = from.x <= to.x ? [from, to] : [to, from];
  const [y1, y2] = [a.y + BOX_HEIGHT / 2, b.y + BOX_HEIGHT / 2];
  const [x1, bend] = [a.x + a.width, GAP.column / 2];
  const isBeside = a.x === b.x;
  const x2 = isBeside ? x1 : b.x;
  const turn = isBeside ? x2 + bend : x2 - bend;
  const d = from === a
    ? `M${x1} ${y1}C${x1 + bend} ${y1} ${turn} ${y2} ${x2} ${y2}`
    : `M${x2} ${y2}C${turn} ${y2} ${x1 + bend} ${y1} ${x1} ${y1}`;
  return markup`<path class="${kind}" d="${d}"${kind !== "excludes" && markup` marker-end="url(#arrow)"`}/>
`;
}

function cut(label: string): string {
  return label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label;
}

// ── the times of runs ───────────────────────────────────────────────────────────────────────────────────────────────────

const HEIGHT = 120;
const STEP = 10;
const LEFT = 68;
/** Lines of the logarithmic axis, milliseconds. */
const LINES = [1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 86_400_000, 864_000_000];

/**
 * How long runs took, the newest at the right: a filled dot for the time that they worked, a ring for the time that they waited.
 * The axis is logarithmic, so that a wait of days leaves the work readable. Each column links to its run.
 * @param runs newest first
 */
export function runDots(runs: Run[], times: Times): Part {
  if (runs.length === 0) return markup`<p class="soft">It has not run yet.</p>`;
  const lengths = runs.toReversed().map((run) => ({ run, ...lengthsOf(run, times.now) }));
  const all = lengths.flatMap(({ work, wait }) => [work, wait]);
  const low = LINES.findLast((line) => line <= Math.max(1, Math.min(...all))) ?? 1;
  const high = LINES.find((line) => line > Math.max(...all)) ?? LINES[LINES.length - 1];
  const y = (ms: number) => {
    const share = Math.log(Math.max(ms, low) / low) / Math.log(high / low);
    return (HEIGHT - 8 - share * (HEIGHT - 16)).toFixed(1);
  };
  const width = LEFT + lengths.length * STEP;
  const lines = LINES.filter((line) => line >= low && line <= high).map((line) =>
    markup`<line class="grid" x1="${LEFT}" x2="${width}" y1="${y(line)}" y2="${y(line)}"/><text x="${LEFT - 6}" y="${
      Number(y(line)) + 4
    }">${span(line)}</text>`
  );
  const label = `Time that the last ${runs.length} runs worked and waited`;
  return markup`<svg class="dots" role="group" aria-label="${label}" width="${width}" height="${HEIGHT}" viewBox="0 0 ${width} ${HEIGHT}">${lines}${
    lengths.map((length, index) => column(length, LEFT + index * STEP + STEP / 2, y))
  }</svg>
<p class="soft legend"><svg width="10" height="10" aria-hidden="true"><circle class="plain" cx="5" cy="5" r="4"/></svg> work
<svg width="10" height="10" aria-hidden="true"><circle class="ring plain" cx="5" cy="5" r="3.5"/></svg> wait</p>`;
}

function column(
  { run, work, wait }: ReturnType<typeof lengthsOf> & { run: Run },
  x: number,
  y: (ms: number) => string,
): Markup {
  const { tone } = wordOf(run.state);
  const waited = wait >= 1;
  const title = `${run.state}: work ${span(work)}${waited ? `, wait ${span(wait)}` : ""}`;
  return markup`<a href="/runs/${run.id}" tabindex="-1" aria-label="${title}"><title>${title}</title><rect class="hit" x="${
    x - STEP / 2
  }" y="0" width="${STEP}" height="${HEIGHT}"/>${
    waited && markup`<circle class="ring ${tone}" cx="${x}" cy="${y(wait)}" r="3.5"/>`
  }<circle class="${tone}" cx="${x}" cy="${y(work)}" r="3.5"/></a>`;
}

function lengthsOf({ state, spent, createdAt, startedAt, endedAt }: Run, now: number): { work: number; wait: number } {
  const end = isFinal(state) ? endedAt ?? createdAt : now;
  return { work: spent, wait: Math.max(0, end - (startedAt ?? createdAt) - spent) };
}

// ── the steps of a rule ─────────────────────────────────────────────────────────────────────────────────────────────────

/** The most steps that are drawn. */
const MOST = 60;

/** Which steps of a rule follow which, and which run at the same time; false for code and for a single step. */
export function stepGraph({ then }: Pick<Rule, "then">): Markup | false {
  if (then === "function") return false;
  const drawn: Graph = { nodes: [], edges: [] };
  place(then, { path: "", column: 0, row: 0, from: [] }, drawn);
  const { nodes, edges } = drawn;
  if (nodes.length < 2) return false;
  if (nodes.length > MOST) return markup`<p class="soft">It has ${nodes.length} steps: too many to draw.</p>`;
  return markup`${graph("The steps in their order", nodes, edges)}
<p class="soft">${inWords(then)}.</p>`;
}

interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

interface Place {
  /** Of the steps around it; ids are unique only among siblings. */
  path: string;
  column: number;
  row: number;
  /** The steps that end before it begins. */
  from: string[];
}

/** Places a list of steps. @returns the steps that end last, and how much room the list takes */
function place(steps: Step[], { path, column, row, from }: Place, drawn: Graph) {
  let [at, ends, height] = [column, from, 1];
  for (const step of steps) {
    const id = `${path}/${step.id}`;
    const lists = Object.entries(step.children).filter(([, list]) => list.length > 0);
    // Branches are drawn instead of the step that contains them.
    const isDrawn = step.kind !== "parallel" || lists.length === 0;
    if (isDrawn) {
      drawn.nodes.push({ id, label: labelOf(step), column: at, row });
      for (const end of ends) drawn.edges.push({ from: end, to: id, kind: "next" });
      [at, ends] = [at + 1, [id]];
    }
    const last: string[] = [];
    let [below, width] = [row, 0];
    for (const [name, list] of lists) {
      const placed = place(list, { path: `${id}/${name}`, column: at, row: below, from: ends }, drawn);
      last.push(...placed.ends);
      below += placed.height;
      width = Math.max(width, placed.width);
    }
    if (lists.length === 0) continue;
    // A condition may skip what is inside it.
    const skips = step.kind === "if" && lists.length === 1 ? ends : [];
    [at, ends, height] = [at + width, [...last, ...skips], Math.max(height, below - row)];
  }
  return { ends, height, width: at - column };
}

function labelOf({ id, kind, args }: Step): string {
  const target = typeof args.call === "string" ? posix.basename(args.call).replace(/\.ya?ml$/, "") : kind;
  return id === target || id === kind ? target : `${id}: ${target}`;
}

/** The same in words, for people who cannot see it: `first, then base64 and nonce side by side, then seal`. */
function inWords(steps: Step[]): string {
  return steps.map((step) => {
    const lists = Object.values(step.children).filter((list) => list.length > 0).map(inWords);
    if (lists.length === 0) return labelOf(step);
    if (step.kind === "parallel") return `at the same time (${lists.join(") and (")})`;
    return `${labelOf(step)} (${lists.join(" or ")})`;
  }).join(", then ");
}
