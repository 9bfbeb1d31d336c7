import type { Context } from "hono";
import type { ShownOutput } from "../../host/program_output.ts";
import { isFinal, type Run } from "../../model/run.ts";
import type { WebContext } from "../context.ts";
import { href } from "./lists.ts";
import { liveMark, type Look, part } from "./live.ts";
import { type Markup, markup } from "./markup.ts";
import { stepHref } from "./run_steps.ts";
import type { ConsoleEnv } from "./viewer.ts";

/** Characters of an output that are shown. */
const SHOWN = 16 * 1_024;
/** Outputs of a run that are shown at once. */
const MOST = 10;

/** What the programs of a run print at the moment; the live page replaces its content. */
export function runOutput({ id }: Run, context: WebContext): Markup {
  return markup`<div id="output">${outputsOf(id, context)}</div>`;
}

/** The mark in the head of the page of a run that has not ended. */
export function runLiveMark({ id, state }: Run): Markup | false {
  return liveMark(!isFinal(state) && href("/live", { page: "run", run: id }));
}

/** The output of a run's programs, and whether the page has become old. */
export function lookForOutput(c: Context<ConsoleEnv>, context: WebContext): Look {
  const id = c.req.query("run") ?? "";
  const seen = new Set<string>();
  return async () => {
    const again = (says: string) => markup`<p>${says}: <a href="/runs/${id}">show it</a></p>`;
    const [run] = await context.store.getLiveRuns([id]);
    if (run === undefined) return { parts: [part("output", again("The run has ended"))], isLast: true };
    const now = new Set(context.outputs.of(id).map(({ step }) => step));
    const ended = [...seen].filter((step) => !now.has(step));
    now.forEach((step) => seen.add(step));
    const content = markup`${ended.length > 0 && again("The run has gone on")}${outputsOf(id, context)}`;
    return { parts: [part("output", content)] };
  };
}

/** The end of each output of a run. */
export function outputsOf(run: string, { outputs, mask }: WebContext): Markup[] {
  return outputs.of(run).slice(0, MOST).map((output) => {
    const { text, isCut } = tailOf(output, mask);
    return markup`<div class="value"><h2>What <a href="${stepHref(run, output.step)}">${output.step}</a> prints ${
      isCut && markup`<span class="soft">its end</span>`
    }</h2>
${text === "" ? markup`<p class="soft">Nothing yet.</p>` : markup`<pre class="tail" tabindex="0">${text}</pre>`}</div>
`;
  });
}

/** The last lines, masked as a whole: a mask would not find a secret that is cut. */
function tailOf({ text, isCut }: ShownOutput, mask: (text: string) => string): { text: string; isCut: boolean } {
  const masked = overwritten(mask(text));
  if (masked.length <= SHOWN && !isCut) return { text: masked, isCut };
  const last = masked.slice(-SHOWN);
  return { text: last.slice(last.indexOf("\n") + 1), isCut: true };
}

/** As on a terminal: what follows a carriage return takes the place of the line before it. */
function overwritten(text: string): string {
  return text.split("\n").map((line) => {
    const printed = line.replace(/\r+$/, "");
    return printed.slice(printed.lastIndexOf("\r") + 1);
  }).join("\n");
}
