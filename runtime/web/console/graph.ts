import { type Markup, markup, type Part } from "./markup.ts";

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
const HEIGHT = 28;
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
    return [id, { x: left(column), y: EDGE + row * (HEIGHT + GAP.row), width: widths[column] }];
  }));
  const width = left(columns) - GAP.column + EDGE;
  const height = EDGE + (Math.max(...nodes.map(({ row }) => row)) + 1) * (HEIGHT + GAP.row);
  return markup`<div class="graph" tabindex="0" role="region" aria-label="${label}"><svg role="img" aria-label="${label}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0l8 4l-8 4z"/></marker></defs>
${edges.map(({ from, to, kind }) => edgeOf(boxes.get(from)!, boxes.get(to)!, kind))}${
    nodes.map((node) => nodeOf(node, boxes.get(node.id)!))
  }</svg></div>`;
}

function nodeOf({ label, isPlain }: GraphNode, { x, y, width }: Box): Markup {
  const short = cut(label);
  const box: Part = !isPlain && markup`<rect x="${x}" y="${y}" width="${width}" height="${HEIGHT}" rx="3"/>`;
  return markup`<g${isPlain && markup` class="plain"`}>${
    short !== label && markup`<title>${label}</title>`
  }${box}<text x="${x + width / 2}" y="${y + HEIGHT / 2 + 4}">${short}</text></g>
`;
}

/** Between boxes of one column, the line runs beside them. */
function edgeOf(from: Box, to: Box, kind: GraphEdge["kind"]): Markup {
  const [a, b] = from.x <= to.x ? [from, to] : [to, from];
  const [y1, y2] = [a.y + HEIGHT / 2, b.y + HEIGHT / 2];
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
