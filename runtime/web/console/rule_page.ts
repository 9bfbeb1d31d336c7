import type { Context, Hono } from "hono";
import { formatDuration } from "../../model/duration.ts";
import type { Rule } from "../../model/rule.ts";
import { VERDICT_KINDS } from "../../model/event.ts";
import type { WebContext } from "../context.ts";
import type { TriggerListing } from "../rules_api.ts";
import { configView } from "./config_page.ts";
import { factList, type Markup, markup, type Part } from "./markup.ts";
import { SEE, type See, sourceView, testsView } from "./rule_source.ts";
import { outcomeStrip, rulePath, whyOf } from "./rules.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { nextTimes, type Standing, standings } from "./standing.ts";
import { runDots, stepGraph } from "./svg.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word } from "./words.ts";

/** Runs that are drawn as dots. */
const DOTS = 50;
const AT = "/rules";

/** `/rules/<id>`: the health of a rule, its source, tests and config; operators can pause it. */
export function addRule(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.post("/rules/:id{.+}/pause", (c) => pause(c, context));
  app.post("/rules/:id{.+}/resume", (c) => resume(c, context));
  app.get("/rules/:id{.+}", (c) => show(c, context));
}

async function show(c: Context<ConsoleEnv>, context: WebContext, problem?: string): Promise<Response> {
  const id = c.req.param("id")!;
  const rule = (await standings(context)).find((standing) => standing.id === id);
  if (rule === undefined) return unknownRule(c, context, id);
  const live = context.rules().rules.get(id);
  const times = timesFor(c, context);
  const [runs, recent, next] = await Promise.all([
    context.store.listRuns({ rule: id, limit: DOTS }),
    context.activity.recent([id]),
    live === undefined ? [] : nextTimes(live, context),
  ]);
  const see = SEE.find((view) => view === c.req.query("see")) ?? "source";
  const why = whyOf(rule, times);
  const body = markup`<h1>${rule.name ?? id}</h1>
<div class="beside state">${word(rule.need)}
${why && markup`<p class="wrap">${why}</p>`}
${outcomeStrip(recent.get(id)!)}
${next.length > 0 && markup`<p class="soft">next ${times.short(next[0].at)}</p>`}</div>
${problem !== undefined && markup`<p class="error" role="alert">${problem}</p>`}
${actions(rule, c.get("viewer").csrf)}
<div class="columns">
<section>
<h2>The last runs</h2>
${runDots(runs, times)}
<p><a href="/runs?rule=${encodeURIComponent(id)}">All runs</a></p>
</section>
<section>
<h2>What became of its events</h2>
${verdicts(rule)}
<h2>When</h2>
${triggers(rule, next, times)}
${facts(rule, live)}
</section>
</div>
${live !== undefined && stepsOf(live)}
${tabs(id, see)}
${await VIEWS[see](rule, live, context)}`;
  return await page(c, context, { title: rule.name ?? id, at: AT, body }, problem === undefined ? 200 : 422);
}

/** The graph of the steps, if there are several. */
function stepsOf(live: Rule): Part {
  const drawn = stepGraph(live);
  return drawn && markup`<section><h2>Steps</h2>
${drawn}</section>`;
}

const VIEWS: Record<See, (rule: Standing, live: Rule | undefined, context: WebContext) => Part | Promise<Part>> = {
  source: (rule, _, context) => sourceView(rule, context),
  tests: (rule, _, context) => testsView(rule, context),
  config: ({ id }, _, context) => configView(id, context),
};

function tabs(id: string, see: See): Markup {
  const links = SEE.map((view) => {
    const current = view === see && markup` aria-current="true"`;
    return markup`<a href="${rulePath(id)}?see=${view}#see"${current}>${view.charAt(0).toUpperCase()}${
      view.slice(1)
    }</a>\n`;
  });
  return markup`<nav class="tabs" id="see" aria-label="Views of the rule">
${links}</nav>`;
}

function actions({ id, state }: Standing, csrf: string): Part {
  if (state === "broken") return false;
  if (state === "paused") {
    return markup`<form class="actions" method="post" action="${rulePath(id)}/resume">${
      csrfInput(csrf)
    }<button>Resume</button></form>`;
  }
  return markup`<div class="actions"><details class="action"><summary>Pause…</summary>
<form method="post" action="${rulePath(id)}/pause">
${
    csrfInput(csrf)
  }<label>Reason, for the others <input name="reason" required maxlength="500" autocomplete="off"></label>
<button>Pause the rule</button>
<span class="soft">Its events start nothing until it is resumed. Runs under way continue.</span>
</form></details></div>`;
}

function verdicts({ id, verdicts }: Standing): Part {
  const given = VERDICT_KINDS.map((kind) => [kind, verdicts[kind] ?? 0] as const)
    .filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a);
  if (given.length === 0) return markup`<p class="soft">No event has concerned it yet.</p>`;
  return markup`<table class="rows counted"><tbody>
${
    given.map(([kind, count]) =>
      markup`<tr><td class="number"><a href="/events?rule=${
        encodeURIComponent(id)
      }&verdict=${kind}">${count}</a></td><td class="grow">${word(kind)}</td></tr>\n`
    )
  }</tbody></table>`;
}

function triggers(rule: Standing, next: Awaited<ReturnType<typeof nextTimes>>, times: Times): Part {
  if (rule.triggers.length === 0) return markup`<p class="soft">Nothing starts it: its file does not load.</p>`;
  const rows = rule.triggers.map((trigger) => {
    const at = next.find((time) => time.trigger.id === trigger.id)?.at;
    return markup`<tr><td class="mono grow">${trigger.id}${hookOf(trigger)}</td><td class="number nowrap">${
      at !== undefined && markup`next ${times.short(at)}`
    }</td><td class="why error">${trigger.failure}</td></tr>\n`;
  });
  return markup`<table class="rows"><tbody>
${rows}</tbody></table>`;
}

function hookOf({ hook }: TriggerListing): Part {
  return hook && markup` <span class="soft">${hook.method} ${hook.path}${hook.open && ", open to everybody"}</span>`;
}

function facts({ id, name, file, version, longest }: Standing, live: Rule | undefined): Part {
  return factList([
    ["Id", name !== undefined && markup`<span class="mono">${id}</span>`],
    ["File", markup`<span class="mono">${file}</span>`],
    ["Version", version && markup`<span class="mono">${version}</span>`],
    ["Mode", live && (live.mode === "parallel" ? `parallel, at most ${live.max}` : live.mode)],
    ["Limit", live && (live.limit === null ? "none" : `${live.limit.count} in ${formatDuration(live.limit.per)}`)],
    ["Slow", longest && markup`${longest.ms} ms for <span class="mono">${longest.expression}</span>`],
  ]);
}

async function pause(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const inputs = await readAction(c, context);
  if (inputs instanceof Response) return inputs;
  const id = c.req.param("id")!;
  const { rules, paused } = context.rules();
  if (!rules.has(id)) return unknownRule(c, context, id);
  if (paused[id] !== undefined) return stale(c, context, `“${id}” is paused already: ${paused[id]}`);
  const reason = (inputs.reason ?? "").trim().slice(0, 500);
  if (reason === "") return show(c, context, "A reason is needed: the others will want to know why it is paused.");
  const { by } = c.get("viewer");
  await context.operators.pause(id, `${reason} (${by})`, by);
  return c.redirect(rulePath(id), 303);
}

async function resume(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const inputs = await readAction(c, context);
  if (inputs instanceof Response) return inputs;
  const id = c.req.param("id")!;
  const { rules, paused } = context.rules();
  if (!rules.has(id) && paused[id] === undefined) return unknownRule(c, context, id);
  if (paused[id] === undefined) return stale(c, context, `“${id}” is not paused: somebody has resumed it.`);
  await context.operators.resume(id, c.get("viewer").by);
  return c.redirect(rulePath(id), 303);
}

function stale(c: Context, context: WebContext, text: string): Promise<Response> {
  const back = markup`${text}<br><a href="${rulePath(c.req.param("id")!)}">See how it is now</a>`;
  return page(c, context, notice("Nothing was changed", back, AT), 409);
}

function unknownRule(c: Context, context: WebContext, id: string): Promise<Response> {
  const text = markup`No rule of the folder has the id “${id}”. <a href="/rules">All rules</a>`;
  return page(c, context, notice("There is no such rule", text, AT), 404);
}
