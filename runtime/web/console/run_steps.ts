import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { StepRecord } from "../../model/run.ts";
import { href } from "./lists.ts";
import { hiddenInput, joined, type Markup, markup, type Part } from "./markup.ts";
import { MOST_LISTED, type Progress } from "./run_tree.ts";
import type { LoopRow, Row } from "./run_rows.ts";
import { type Axis, AXIS_WIDTH, type Span } from "./run_timeline.ts";
import type { RunView } from "./run_view.ts";
import { oneLine, type Text } from "./run_words.ts";
import { span, type Times } from "./times.ts";
import { shownOutput, shownValue } from "./values.ts";
import type { Tone } from "./words.ts";

/** What is needed to draw the tree of a run. */
export interface Drawing {
  run: string;
  times: Times;
}

const MARKS: Record<Progress, { icon: string; tone: Tone; word: string }> = {
  done: { icon: "✓", tone: "good", word: "succeeded" },
  failed: { icon: "✕", tone: "bad", word: "failed" },
  open: { icon: "◐", tone: "wait", word: "under way" },
  cancelled: { icon: "⊘", tone: "off", word: "cancelled" },
  none: { icon: "○", tone: "off", word: "not reached" },
};
/** How many failures of a loop, by message, and how many turns of each are named. */
const MOST_MESSAGES = 5;
const MOST_TURNS = 6;
const HEIGHT = 12;

/** The address of the page with one step open. */
export function stepHref(run: string, step: string): string {
  return `${href(`/runs/${run}`, { step })}#step`;
}

/** A text with its times in the viewer's zone and its steps as links. */
export function shownText(text: Text, { run, times }: Drawing): Part[] {
  return text.map((part) => {
    if (typeof part === "string") return part;
    return "at" in part ? times.short(part.at) : markup`<a href="${stepHref(run, part.step)}">${part.step}</a>`;
  });
}

/** The tree of a run with its timeline; the open step has its record below it. */
export function stepTable(view: RunView, drawing: Drawing): Markup {
  const { axis, rows, more, open, isOpenEnded } = view;
  const { times } = drawing;
  const body = rows.map((row) => rowMarkup(row, row.path === open, axis, drawing));
  return markup`${hatching()}<h2 class="hidden">Steps</h2>
<table class="steps">
<thead><tr><th scope="col">Step</th><th scope="col" class="from">${
    times.short(axis.from)
  }</th><th scope="col" class="plot">${axisMarkup(axis)}</th><th scope="col" class="took">${
    times.short(axis.to)
  }</th></tr></thead>
<tbody>
${body}</tbody>
</table>
${rows.length === 0 && !isOpenEnded && markup`<p class="soft">It has no steps yet.</p>`}
${more > 0 && markup`<p class="soft">${more} more steps are not shown here.</p>`}
${isOpenEnded && markup`<p class="soft further">○ further steps: known when the code begins them</p>`}
`;
}

function rowMarkup(row: Row, isOpen: boolean, axis: Axis, drawing: Drawing): Markup {
  const { depth, path, name, kind, progress, outcome, attempts, loop } = row;
  const { icon, tone, word } = MARKS[progress];
  const label = markup`<a href="${stepHref(drawing.run, path)}"${isOpen && markup` aria-current="step"`}>${name}${
    kind !== undefined && markup` <span class="kind">${kind}</span>`
  }</a>`;
  const says = shownText(outcome, drawing);
  const tries = attempts > 1 && markup` <span class="soft">${attempts} attempts</span>`;
  const counts = loop && loopCounts(loop);
  return markup`<tr class="is-${tone}${loop && " looped"}${isOpen && " open"}"${
    isOpen && markup` id="step"`
  }><td class="d${
    Math.min(depth, 8)
  }"><span class="mark" title="${word}">${icon}</span> ${label}</td><td class="outcome">${says}${tries}${counts}</td><td class="plot">${
    loop ? loopStrip(loop) : bars(row, axis)
  }</td><td class="took">${took(row)}</td></tr>
${loop && (loop.failures.length > 0 || loop.count > MOST_LISTED) && loopLines(row, loop, drawing)}${
    row.open && markup`<tr class="detail"><td colspan="4">${recordMarkup(row.open, drawing)}</td></tr>
`
  }`;
}

function took({ work, wait, progress }: Row): Part {
  if (progress === "none") return "";
  if (wait < 1) return span(work);
  return work < 1
    ? markup`<span class="soft">${span(wait)} wait</span>`
    : markup`${span(work)} <span class="soft">+ ${span(wait)}</span>`;
}

// ── loops ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function loopCounts({ count, total, counts, perMinute }: LoopRow): Markup {
  const shown = (["done", "failed", "open", "cancelled"] as const).filter((progress) => counts[progress] > 0);
  const parts = shown.map((progress) => {
    const { icon, tone, word } = MARKS[progress];
    return markup` <span class="${tone}" title="${word}">${counts[progress].toLocaleString("en")} ${icon}</span>`;
  });
  const of = total > count && markup` of ${total.toLocaleString("en")}`;
  const rate = perMinute !== undefined && markup` <span class="soft">${rateOf(perMinute)}</span>`;
  return markup` <span class="loop">×${count.toLocaleString("en")}${of}${parts}${rate}</span>`;
}

function rateOf(perMinute: number): string {
  if (perMinute >= 600) return `${Math.round(perMinute / 60).toLocaleString("en")}/s`;
  if (perMinute >= 1) return `${Math.round(perMinute)}/min`;
  return perMinute * 60 >= 1 ? `${Math.round(perMinute * 60)}/h` : `${Math.round(perMinute * 1_440)}/d`;
}

/** One path for each state, so that a strip has few nodes. */
function loopStrip({ cells, counts, total }: LoopRow): Markup {
  const width = AXIS_WIDTH / Math.max(cells.length, 10);
  const paths = [...new Set(cells)].map((progress) => {
    const isTall = progress === "failed";
    const d = cells.flatMap((cell, index) =>
      cell === progress
        ? [rect(index * width, Math.max(1, width - 2), isTall ? 0 : 3, isTall ? HEIGHT : HEIGHT - 6)]
        : []
    );
    return markup`<path class="in-${progress === "none" ? "rest" : MARKS[progress].tone}" d="${d.join("")}"/>`;
  });
  const label = `${counts.done} of ${total} succeeded, ${counts.failed} failed, ${counts.open} under way`;
  return markup`<svg class="timeline" viewBox="0 0 ${AXIS_WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${label}">${paths}</svg>`;
}

/** Failures grouped by message, and a way to open any turn. */
function loopLines({ depth, path }: Row, loop: LoopRow, drawing: Drawing): Markup {
  const { failures, base } = loop;
  const groups = failures.slice(0, MOST_MESSAGES).map(({ message, turns }) => {
    const links = turns.slice(0, MOST_TURNS).map(({ number, node }) =>
      markup` <a href="${stepHref(drawing.run, node.path)}">#${number}</a>`
    );
    return markup`<span class="failures"><span class="bad">✕ ${turns.length}×</span> ${oneLine(message)}:${links}${
      turns.length > MOST_TURNS && " …"
    }</span> `;
  });
  const others = failures.length - MOST_MESSAGES;
  return markup`<tr class="turns"><td class="d${Math.min(depth + 1, 8)}" colspan="4">${groups}${
    others > 0 && markup`<span class="soft">${others} more messages</span> `
  }${
    loop.count > MOST_LISTED &&
    markup`<form action="/runs/${drawing.run}#step">${
      hiddenInput("of", base)
    }<label>Turn <input name="turn" inputmode="numeric" pattern="[0-9]*" required size="5" autocomplete="off" aria-label="Turn of ${path}"></label> <button>Open</button></form>`
  }</td></tr>
`;
}

// ── timeline ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The pattern of waiting, which all bars of the page use. */
function hatching(): Markup {
  return markup`<svg class="defs" width="0" height="0" aria-hidden="true"><defs><pattern id="hatch" width="16" height="6" patternUnits="userSpaceOnUse"><path class="hatch" d="M-4 7.5l24 -9M-4 1.5l8 -3M12 7.5l8 -3"/></pattern></defs></svg>
`;
}

/** The gaps of the axis, each with its length. */
function axisMarkup({ cuts }: Axis): Markup {
  if (cuts.length === 0) return markup`<span class="hidden">When</span>`;
  const labels = cuts.map(({ x, width, from, to }) =>
    markup`<text x="${percent(x + width / 2)}" y="12">╱ ${roughly(to - from)} ╱</text>`
  );
  return markup`<svg class="cuts" width="100%" height="16" role="img" aria-label="${
    cuts.map(({ from, to }) => `a gap of ${span(to - from)}`).join(", ")
  }">${labels}</svg>`;
}

/** A length in its largest unit: a gap has no space for more. */
function roughly(ms: number): string {
  return span(ms).split(" ").slice(0, 2).join(" ");
}

function bars({ times, progress }: Row, axis: Axis): Markup | false {
  if (progress === "none") return false;
  const paths = [
    markup`<path class="idle" fill="url(#hatch)" d="${path(times.wait, axis, 2, HEIGHT - 4)}"/>`,
    markup`<path class="work" d="${path(times.work, axis, 0, HEIGHT)}"/>`,
  ].filter((_, index) => [times.wait, times.work][index].length > 0);
  const edges = axis.cuts.flatMap(({ x, width }) => [x, x + width]).map((x) => `M${x.toFixed(0)} 0v${HEIGHT}`);
  return markup`<svg class="timeline" viewBox="0 0 ${AXIS_WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">${paths}${
    edges.length > 0 && markup`<path class="cut" d="${edges.join("")}"/>`
  }</svg>`;
}

/** Spans as one path; spans that are too close to distinguish are merged. */
function path(spans: Span[], axis: Axis, top: number, height: number): string {
  const shortest = 4;
  let end = -Infinity;
  const drawn: { x: number; end: number }[] = [];
  for (const { from, to } of spans) {
    const x = Math.min(axis.place(from), AXIS_WIDTH - shortest);
    const last = Math.max(x + shortest, axis.place(to));
    if (x <= end + 2 && drawn.length > 0) drawn.at(-1)!.end = Math.max(end, last);
    else drawn.push({ x, end: last });
    end = drawn.at(-1)!.end;
  }
  return drawn.map(({ x, end }) => rect(x, end - x, top, height)).join("");
}

function rect(x: number, width: number, top: number, height: number): string {
  return `M${round(x)} ${top}h${round(width)}v${height}h-${round(width)}z`;
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function percent(x: number): string {
  return `${round(x / AXIS_WIDTH * 100)}%`;
}

// ── the open step ────────────────────────────────────────────────────────────────────────────────────────────────────

function recordMarkup(record: StepRecord, { run, times }: Drawing): Markup {
  const { path, kind, state, attempts, startedAt, endedAt, input, output, error } = record;
  const raw = (part: string) => href(`/runs/${run}/value`, { step: path, of: part });
  const facts = [
    markup`<code>${path}</code>`,
    markup`${state}`,
    markup`began ${times.short(startedAt)}`,
    endedAt !== undefined && markup`ended ${times.short(endedAt)} after ${span(endedAt - startedAt)}`,
    attempts > 1 && markup`${attempts} attempts`,
  ];
  return markup`<p class="about">${joined(facts)}</p>
${formLink(record)}${attemptsMarkup(record, times)}${error !== undefined && errorMarkup(error, raw)}${
    kind === "run" && isOutput(output)
      ? outputMarkup(output, raw)
      : hasOutput(record) && shownValue("Output", output!, raw("output"))
  }${input !== undefined && shownValue("Input", input, raw("input"))}`;
}

/** A link to the page on which the form is answered. */
function formLink({ kind, state, input }: StepRecord): Markup | false {
  const id = kind === "form" && state === "waiting" && isObject(input) && input.id;
  return typeof id === "string" && markup`<p><a href="/forms/${id}">The form that people answer</a></p>`;
}

/** The attempts before the last one, each with its error. */
function attemptsMarkup({ failures = [], attempts, state }: StepRecord, times: Times): Markup | false {
  if (failures.length === 0) return false;
  const lines = failures.map(({ attempt, startedAt, endedAt, error }, index) => {
    const left = attempt - (failures[index - 1]?.attempt ?? 0) - 1;
    return markup`${left > 0 && markup`<li class="soft">${left} more</li>\n`}<li>${attempt}. ${
      times.short(startedAt)
    }, ${span(endedAt - startedAt)}: <span class="bad">${oneLine(error.message, 300)}</span></li>\n`;
  });
  return markup`<div class="value"><h3>${
    state === "retrying" ? "Failed attempts" : "Attempts before the last one"
  } <span class="soft">of ${attempts}</span></h3><ol class="notes">
${lines}</ol></div>
`;
}

function errorMarkup(
  { name, message, stack, detail }: NonNullable<StepRecord["error"]>,
  raw: (part: string) => string,
): Markup {
  const frames = (stack ?? "").split("\n").filter((line) => /^\s+at /.test(line)).join("\n");
  const isPlain = name === "Error" || name === "TerminalError";
  return markup`<div class="value failure"><h3>Error</h3><pre tabindex="0">${isPlain ? "" : `${name}: `}${message}${
    frames !== "" && `\n${frames}`
  }</pre></div>
${detail !== undefined && shownValue("Received", detail, raw("detail"))}`;
}

/** Whether this is the output of a program: what it printed is shown as text, not within JSON. */
function isOutput(output: Json | undefined): output is JsonObject {
  return isObject(output) && "stdout" in output && "stderr" in output;
}

function outputMarkup({ stdout, stderr, json }: JsonObject, raw: (part: string) => string): Markup[] {
  const texts = [["Printed", stdout, "stdout"], ["Errors", stderr, "stderr"]] as const;
  const printed = texts.flatMap(([label, text, part]) =>
    typeof text === "string" && text.trim() !== "" ? [shownOutput(label, text, raw(part))] : []
  );
  return [...printed, ...(json ?? null) === null ? [] : [shownValue("As JSON", json, raw("json"))]];
}

/** The record of a turn only shows that the turn takes place. */
function hasOutput({ kind, path, output }: StepRecord): boolean {
  return output !== undefined && output !== null && !(kind === "repeat" && path.endsWith("]"));
}
