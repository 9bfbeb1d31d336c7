import { isFinal, type Run } from "../../model/run.ts";
import { type Markup, markup, type Part } from "./markup.ts";
import { span, type Times } from "./times.ts";
import { wordOf } from "./words.ts";

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
