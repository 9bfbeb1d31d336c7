import type { Hono } from "hono";
import type { Day } from "../activity.ts";
import type { WebContext } from "../context.ts";
import { type Markup, markup } from "./markup.ts";
import { countsOf, ruleTable } from "./rules.ts";
import { page } from "./shell.ts";
import { standings } from "./standing.ts";
import { bars } from "./svg.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word } from "./words.ts";

/** Rules on the first page: as many as fit on a screen. */
const RULES = 14;
/** Marks on the axis of the day. */
const MARKS = 5;

/** `/`: what needs attention, the last day, and the most urgent rules. */
export function addOverview(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/", async (c) => {
    const [all, day] = await Promise.all([standings(context), context.activity.day()]);
    const times = timesFor(c, context);
    const rest = all.length - RULES;
    const body = markup`<h1 class="hidden">Overview</h1>
<div class="beside"><h2>Rules</h2>
${countsOf(all)}</div>
${dayStrip(day, times)}
${await ruleTable(all.slice(0, RULES), context, times)}
${
      all.length === 0 &&
      markup`<p>There are no rules yet: save a file in the rules folder, and it is live within a second.</p>`
    }
${rest > 0 && markup`<p class="more"><a href="/rules?before=${RULES}">${rest} more rules</a></p>`}
`;
    return page(c, context, { title: "Overview", at: "/", body });
  });
}

/** Runs that ended, by the quarter of an hour. */
function dayStrip({ slots, completeFrom }: Day, times: Times): Markup {
  const sum = (state: "succeeded" | "failed" | "cancelled") => slots.reduce((total, slot) => total + slot[state], 0);
  const totals = [sum("succeeded"), sum("failed"), sum("cancelled")] as const;
  const [succeeded, failed, cancelled] = totals;
  const label =
    `Runs that ended in the last 24 hours: ${succeeded} succeeded, ${failed} failed, ${cancelled} cancelled`;
  const all = slots.map((slot) => ({
    title: `${times.clock(slot.from)}: ${slot.succeeded} succeeded, ${slot.failed} failed, ${slot.cancelled} cancelled`,
    counts: [["bad", slot.failed], ["good", slot.succeeded], ["off", slot.cancelled]] as const,
  }));
  const marks = Array.from(
    { length: MARKS },
    (_, index) => times.clock(slots[0].from + index / (MARKS - 1) * 86_400_000),
  );
  const counts = (["succeeded", "failed", "cancelled"] as const).map((state, index) =>
    markup`<span><b>${totals[index]}</b> ${word(state)}</span>\n`
  );
  return markup`<div class="beside"><h2>Last 24 hours</h2> <p class="counts">${counts}</p>
${
    completeFrom > slots[0].from &&
    markup`<p class="soft">All since ${times.short(completeFrom)}; of the time before, failed ones.</p>`
  }</div>
${bars(label, all)}
<div class="axis" aria-hidden="true">${marks.map((mark) => markup`<span>${mark}</span>`)}</div>`;
}
