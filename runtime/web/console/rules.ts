import type { Hono } from "hono";
import { type Outcome, RECENT } from "../activity.ts";
import type { WebContext } from "../context.ts";
import { type Filter, filterForm, filtersOf, idPath, memoryPage, NAME_FILTER, pager, rowTable } from "./lists.ts";
import { type Markup, markup, type Part } from "./markup.ts";
import { page } from "./shell.ts";
import { MOST_LOOKED_AT, type Need, NEEDS, nextTimes, type Standing, standings } from "./standing.ts";
import { strip } from "./svg.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word, wordOf } from "./words.ts";

const FILTERS = [
  { name: "state", label: "State", choices: NEEDS },
  NAME_FILTER,
] as const satisfies Filter[];

/** `/rules`: all rules, those that need attention first. */
export function addRules(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/rules", async (c) => {
    const set = filtersOf(c, FILTERS);
    const { before } = c.req.query();
    const all = await standings(context);
    const text = set.text?.toLowerCase();
    const wanted = all.filter(({ need, id, name }) =>
      (set.state === undefined || need === set.state) &&
      (text === undefined || id.toLowerCase().includes(text) || name?.toLowerCase().includes(text))
    );
    const { rows, next } = memoryPage(wanted, before);
    const body = markup`<h1>Rules</h1>
${countsOf(all, set.state)}
${filterForm("/rules", FILTERS, set)}
${await ruleTable(rows, context, timesFor(c, context))}
${
      wanted.length === 0 &&
      markup`<p class="soft">${
        all.length === 0 ? "There are no rules yet: save a file in the rules folder." : "No rule is like that."
      }</p>`
    }
${pager("/rules", set, before, next)}`;
    return page(c, context, { title: "Rules", at: "/rules", body });
  });
}

/** How many rules need attention, by reason; each links to its list. */
export function countsOf(rules: Standing[], current?: string): Markup {
  const counts = Map.groupBy(rules, ({ need }) => need);
  return markup`<p class="counts">${
    NEEDS.map((need) => {
      const count = counts.get(need)?.length ?? 0;
      const { icon, tone } = wordOf(need);
      return markup`<a class="${count > 0 ? tone : "none"}" href="/rules?state=${need}"${
        need === current && markup` aria-current="true"`
      }><span aria-hidden="true">${icon}</span> <b>${count}</b> ${need}</a>\n`;
    })
  }</p>`;
}

/** One row for each rule: state, name, reason, last outcomes, next time. */
export async function ruleTable(rules: Standing[], context: WebContext, times: Times): Promise<Markup | false> {
  if (rules.length === 0) return false;
  const recent = await context.activity.recent(rules.map(({ id }) => id));
  const next = await Promise.all(rules.map(async ({ id }) => {
    const rule = context.rules().rules.get(id);
    return rule && (await nextTimes(rule, context)).at(0)?.at;
  }));
  const rows = rules.map((rule, index) =>
    markup`<tr><td>${word(rule.need)}</td><td class="grow cut"><div><a href="${rulePath(rule.id)}">${
      rule.name ?? rule.id
    }</a></div></td>
<td class="why cut">${inBox(whyOf(rule, times))}</td>
<td class="wide">${outcomeStrip(recent.get(rule.id)!)}</td><td class="number nowrap">${
      next[index] !== undefined && times.short(next[index])
    }</td></tr>\n`
  );
  return rowTable("rules", ["State", "Rule", "Why", [`Last ${RECENT} runs`, "wide"], ["Next", "number"]], rows);
}

/** A box that truncates its only line. Empty content gets none, so that the cell takes no space on a phone. */
function inBox(content: Part): Part {
  return content && markup`<div>${content}</div>`;
}

/** The path of a rule's page; a rule's id may contain slashes. */
export function rulePath(rule: string): string {
  return idPath("/rules", rule);
}

const TONES = { succeeded: "good", failed: "bad", cancelled: "off" } as const;

/** The last outcomes of a rule, the newest at the right. */
export function outcomeStrip(outcomes: Outcome[]): Markup | false {
  if (outcomes.length === 0) return false;
  const failed = outcomes.filter(({ state }) => state === "failed").length;
  const label = `${failed} of the last ${outcomes.length} runs failed`;
  return strip(label, outcomes.map(({ state }) => TONES[state]), RECENT);
}

/** Why a rule needs attention, with links to the cause. */
export function whyOf(rule: Standing, times: Times): Part {
  const { failed, overdue, waiting, triggers, reason, connections = [] } = rule;
  const reasons: Record<Need, () => Part> = {
    broken: () => reason,
    failing: () => [
      ...connections.map(({ name }) => markup`<a href="/connections">Connection ${name}</a> cannot be used `),
      failed &&
      markup`<a href="/runs/${failed.id}">${times.short(failed.endedAt)}</a> ${firstLine(failed.error ?? "")}`,
      ...triggers.filter(({ failure }) => failure !== undefined).map(({ id, failure }) =>
        markup` <span class="mono">${id}</span>: ${firstLine(failure!)}`
      ),
    ],
    overdue: () => markup`${runsOf(overdue.length, "should have resumed")} since ${times.short(overdue[0].due!)}`,
    waiting: () => waitsOf(rule, times),
    paused: () => reason,
    on: () => waiting.length === 0 && markup`<span class="soft">${triggers.map(({ id }) => id).join(", ")}</span>`,
    off: () => reason,
  };
  const why = reasons[rule.need]();
  if (rule.need === "waiting" || waiting.length === 0) return why;
  return [why, why && "; ", waitsOf(rule, times)];
}

function waitsOf({ id, forms, waiting }: Standing, times: Times): Part {
  if (forms.length > 0) {
    const [{ id: form, title, to, createdAt }] = forms;
    const others = forms.length > 1 && markup`, ${forms.length - 1} more`;
    return markup`<a href="/forms/${form}">${title}</a> for ${to.join(", ")}, since ${times.short(createdAt)}${others}`;
  }
  const oldest = waiting[waiting.length - 1];
  const path = waiting.length === 1 ? `/runs/${oldest.id}` : `/runs?rule=${encodeURIComponent(id)}&state=waiting`;
  const count = waiting.length === MOST_LOOKED_AT ? `${MOST_LOOKED_AT} or more` : waiting.length;
  return markup`<a href="${path}">${count === 1 ? "1 run" : `${count} runs`}</a> ${
    count === 1 ? "waits" : "wait"
  } for ${oldest.waitingFor ?? "something"}`;
}

function runsOf(count: number, what: string): string {
  return `${count === 1 ? "1 run" : `${count} runs`} ${what}`;
}

function firstLine(text: string): string {
  const [line] = text.split("\n", 1);
  return line.length > 160 ? `${line.slice(0, 160)}…` : line;
}
