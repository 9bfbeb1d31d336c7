import { isCollection, LineCounter, parseDocument } from "yaml";
import type { Problem } from "../../model/problem.ts";
import type { StepRecord } from "../../model/run.ts";
import type { WebContext } from "../context.ts";
import { type Markup, markup, type Part } from "./markup.ts";
import type { Standing } from "./standing.ts";

/** What the page of a rule can show below its numbers. */
export const SEE = ["source", "tests", "config"] as const;

export type See = typeof SEE[number];

/** A longer file is cut here, so that the page stays small. */
const MOST_LINES = 1_000;
const MOST_CHARACTERS = 40_000;

/** The file of a rule, as it is in the folder; lines with problems are marked. */
export async function sourceView({ file }: Standing, context: WebContext): Promise<Part> {
  const text = await context.readRuleFile(file);
  if (text === undefined) return markup`<p class="soft">The file ${file} cannot be read: it was moved or removed.</p>`;
  const problems = context.rules().problems.filter((problem) => problem.file === file);
  return [problemList(problems), sourceLines(text, 1, new Set(problems.map(({ at }) => at.line)))];
}

function problemList(problems: Problem[]): Part {
  return problems.length > 0 && markup`<ul class="problems">
${
    problems.map(({ at, message, hint, severity }) =>
      markup`<li class="${
        severity === "error" ? "bad" : "wait"
      }"><a href="#L${at.line}">Line ${at.line}</a>: ${message}${
        hint && markup`<span class="soft">; ${hint}</span>`
      }</li>\n`
    )
  }</ul>`;
}

/** Lines of a file with their numbers. @param first the number of the first line; @param marked numbers of lines to mark */
export function sourceLines(text: string, first = 1, marked: ReadonlySet<number> = new Set()): Markup {
  const lines = text.replace(/\n$/, "").split("\n");
  let characters = 0;
  const end = lines.findIndex((line, index) => index === MOST_LINES || (characters += line.length) > MOST_CHARACTERS);
  const rest = end === -1 ? 0 : lines.length - end;
  const shown = lines.slice(0, lines.length - rest).map((line, index) => {
    const at = first + index;
    // The style sheet shows the number: an element for each would double their count.
    return markup`<span id="L${at}" data-at="${at}"${marked.has(at) && markup` class="marked"`}>${line}\n</span>`;
  });
  return markup`<pre class="source" tabindex="0" aria-label="Source">${shown}</pre>${
    rest > 0 && markup`<p class="soft">${rest} more lines are not shown.</p>`
  }`;
}

/** The tests of a rule, and how to run them. */
export async function testsView({ file, language }: Standing, context: WebContext): Promise<Part> {
  return language === "typescript" ? await codeTests(file, context) : await yamlTests(file, context);
}

async function codeTests(file: string, context: WebContext): Promise<Part> {
  const path = file.replace(/\.ts$/, ".test.ts");
  const text = await context.readRuleFile(path);
  if (text === undefined) {
    return noTests(markup`a file <span class="mono">${path}</span> beside it, with <code>testRule</code>`);
  }
  return [markup`<p><span class="mono">${path}</span>. ${HOW_TO_RUN}</p>`, sourceLines(text)];
}

const HOW_TO_RUN = markup`They run on a simulated clock, with <code>whenthen test</code>.`;

async function yamlTests(file: string, context: WebContext): Promise<Part> {
  const text = await context.readRuleFile(file) ?? "";
  const counter = new LineCounter();
  const tests = parseDocument(text, { lineCounter: counter, logLevel: "silent" }).get("tests", true);
  if (!isCollection(tests) || !tests.range || tests.items.length === 0) {
    return noTests(markup`<code>tests:</code> in its file`);
  }
  const count = tests.items.length;
  const { line } = counter.linePos(tests.range[0]);
  const lines = text.split("\n").slice(line - 1, counter.linePos(tests.range[1]).line);
  return [
    markup`<p>${count === 1 ? "One test" : `${count} tests`}. ${HOW_TO_RUN}</p>`,
    sourceLines(lines.join("\n").trimEnd(), line),
  ];
}

function noTests(where: Markup): Markup {
  return markup`<p class="soft">It has no tests: they stand under ${where}.</p>`;
}

// ── the source of one run ────────────────────────────────────────────────────────────────────────────────────────────

/** The source of a TypeScript rule around one of its steps. */
export interface SourceView {
  text: string;
  /** The number of the first line shown, from 1. */
  first: number;
  /** Lines shown, and lines of the whole source. */
  lines: number;
  total: number;
  /** The number of the line of the step; absent if its name occurs nowhere, or more than once. */
  marked?: number;
}

/** Lines shown before and after the step, or from the beginning. */
const BESIDE = 40;

/** The part of a source that shows the step, or its beginning. */
export function viewSource(source: string, step: Pick<StepRecord, "path"> | undefined): SourceView {
  const lines = source.trimEnd().split("\n");
  const at = step === undefined ? undefined : lineOf(lines, nameOf(step.path));
  const from = at === undefined ? 0 : Math.max(0, at - BESIDE);
  const shown = lines.slice(from, (at ?? BESIDE) + BESIDE + 1);
  return {
    text: shown.join("\n"),
    first: from + 1,
    lines: shown.length,
    total: lines.length,
    ...at !== undefined && { marked: at + 1 },
  };
}

/** The name in the code of the step at a path: `both/crm/save#3` was written `save`. */
function nameOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/#\d+$/, "").replace(/\[\d+\]$/, "");
  return decodeName(name);
}

/** Names of TypeScript steps are encoded in paths. */
export function decodeName(name: string): string {
  return name.replaceAll("%2F", "/").replaceAll("%5B", "[").replaceAll("%25", "%");
}

/** The index of the only line that calls a step of that name. */
function lineOf(lines: string[], name: string): number | undefined {
  const quoted = [`"${name}"`, `'${name}'`, `\`${name}\``];
  const found = lines.flatMap((line, index) => {
    const isCall = quoted.some((text) => line.includes(`(${text}`) || line.trimStart().startsWith(`${text},`));
    return isCall ? [index] : [];
  });
  return found.length === 1 ? found[0] : undefined;
}
