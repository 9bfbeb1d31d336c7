import { html } from "hono/html";
import type { WebContext } from "./context.ts";
import { listRules } from "./rule_listing.ts";

const LAST_RUNS = 20;
const STYLE = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}" +
  "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .8rem .2rem 0;overflow-wrap:anywhere;vertical-align:top;border-bottom:1px solid #8884}";

/** `/`: the rules and the last runs on one plain page. */
export async function homePage(context: WebContext): Promise<string> {
  const rules = await listRules(context);
  const runs = await context.store.listRuns({ limit: LAST_RUNS });
  const page = await html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width">
        <title>whenthen</title>
        <style>${STYLE}</style>
      </head>
      <body>
        <h1>whenthen ${context.version}</h1>
        <h2>Rules</h2>
        <table>
    <tr><th>Rule</th><th>State</th><th>When</th><th>Runs started</th></tr>
    ${rules.map(({ id, state, reason, triggers, longest, verdicts }) =>
      html`
        <tr>
          <td>${id}</td>
          <td>${reason === undefined ? state : `${state}: ${reason}`}</td>
          <td>${triggers.map((trigger) => trigger.id).join(", ")}${longest &&
            `; slow: ${longest.ms} ms for ${longest.expression}`}</td>
          <td>${verdicts.started ?? 0}</td>
        </tr>
      `
    )}
        </table>
        <h2>Last runs</h2>
        <table>
    <tr><th>Run</th><th>Rule</th><th>State</th><th>Event</th><th>Created</th></tr>
    ${runs.map(({ id, rule, state, waitingFor, error, event, createdAt }) =>
      html`
        <tr>
          <td>${id}</td>
          <td>${rule}</td>
          <td>${[state, waitingFor ?? error?.message].filter((part) => part !== undefined).join(": ")}</td>
          <td>${event.type} ${event.subject ?? ""}</td>
          <td>${new Date(createdAt).toISOString()}</td>
        </tr>
      `
    )}
        </table>
      </body>
    </html>
  `;
  return context.mask(String(page));
}
