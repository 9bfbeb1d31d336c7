import type { Context } from "hono";
import { Buffer } from "node:buffer";
import { layOutJson, writeExactJson } from "../../formats/exact_json.ts";
import type { Json } from "../../model/json.ts";
import { answerJson } from "../answer.ts";
import type { WebContext } from "../context.ts";
import { type Markup, markup } from "./markup.ts";

/** The most bytes of a value shown whole; of a larger one only the beginning is shown. */
const WHOLE = 16 * 1_024;
const BEGINNING = 4 * 1_024;
/** Lines of output that are shown: its last ones. */
const LAST_LINES = 500;

/** A value under its label: text as it is, anything else as JSON. A large one is cut, with a link to the whole. */
export function shownValue(label: string, value: Json, raw: string): Markup {
  const whole = typeof value === "string" ? value : writeExactJson(value);
  const bytes = Buffer.byteLength(whole);
  if (bytes <= WHOLE) return labelled(label, typeof value === "string" ? value : layOutJson(value));
  const text = typeof value === "string" ? value : writeExactJson(value, 2);
  const note = markup`the first ${sizeOf(BEGINNING)} of ${sizeOf(bytes)}; <a href="${raw}">all of it</a>`;
  return labelled(label, `${beginningOf(text)}…`, note);
}

/** Answers with a whole value: text as it is, anything else as JSON. */
export function answerValue(
  c: Context,
  { mask, maskJson }: Pick<WebContext, "mask" | "maskJson">,
  value: Json,
): Response {
  return typeof value === "string" ? c.text(mask(value)) : answerJson(c, maskJson(value));
}

/** The output of a program: its last lines, as text. */
export function shownOutput(label: string, text: string, raw: string): Markup {
  const lines = text.trimEnd().split("\n");
  if (lines.length <= LAST_LINES) return shownTail(label, lines, Buffer.byteLength(text), raw, undefined);
  const count = lines.length.toLocaleString("en");
  return shownTail(
    label,
    lines.slice(-LAST_LINES),
    Buffer.byteLength(text),
    raw,
    `the last ${LAST_LINES} of ${count} lines`,
  );
}

/** Bytes for people: `812 bytes`, `16 kB`, `3.2 MB`. */
export function sizeOf(bytes: number): string {
  if (bytes < 1_024) return `${bytes} bytes`;
  if (bytes < 1_024 ** 2) return `${Math.round(bytes / 1_024)} kB`;
  return `${(bytes / 1_024 ** 2).toFixed(1)} MB`;
}

/** Lines may be so long that 500 of them are a megabyte. */
function shownTail(label: string, lines: string[], bytes: number, raw: string, cut: string | undefined): Markup {
  const text = lines.join("\n");
  const last = text.length > 4 * WHOLE ? text.slice(-4 * WHOLE) : text;
  const says = last === text ? cut : `the last ${sizeOf(4 * WHOLE)}`;
  if (says === undefined) return labelled(label, last);
  return labelled(label, last, markup`${says}, ${sizeOf(bytes)}; <a href="${raw}">all of it</a>`);
}

function labelled(label: string, text: string, note?: Markup): Markup {
  return markup`<div class="value"><h3>${label}${note && markup` <span class="soft">${note}</span>`}</h3>
<pre tabindex="0">${text}</pre></div>
`;
}

/** At most so many bytes, without half a character at the end. */
function beginningOf(text: string): string {
  return new TextDecoder().decode(Buffer.from(text.slice(0, BEGINNING)).subarray(0, BEGINNING), { stream: true });
}
