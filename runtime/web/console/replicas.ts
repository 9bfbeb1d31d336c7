import type { Hono } from "hono";
import type { WebContext } from "../context.ts";
import { listReplicas, type ReplicaListing, UnlistedError } from "../replicas.ts";
import { rowTable } from "./lists.ts";
import { type Markup, markup } from "./markup.ts";
import { page } from "./shell.ts";
import { type Times, timesFor } from "./times.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { word } from "./words.ts";

const PATH = "/replicas";

/** `/replicas`: the programs that work on the database. */
export function addReplicas(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(PATH, async (c) => {
    const body = markup`<h1>Replicas</h1>
${await content(context, timesFor(c, context))}`;
    return page(c, context, { title: "Replicas", at: PATH, body });
  });
}

async function content({ replicas }: WebContext, times: Times): Promise<Markup> {
  if (replicas === undefined) {
    return markup`<p class="soft">This program works on a data folder, which has one program. Several share a database: start each of them with
<code>--data postgres://…</code>.</p>`;
  }
  try {
    return table(await listReplicas(replicas), replicas.me, times);
  } catch (error) {
    if (error instanceof UnlistedError) return markup`<p class="error">${error.message}.</p>`;
    throw error;
  }
}

function table(listed: ReplicaListing[], me: string, times: Times): Markup {
  const rows = listed.map(({ id, host, pid, version, startedAt, address, rules, decides, state, behind }) =>
    markup`<tr><td class="nowrap">${word(state)}</td><td class="nowrap">${word(decides ? "decides" : "follows")}</td>
<td class="why">${host} ${pid}${id === me && markup` <b>this one</b>`} <span class="soft">${
      address ?? "no address"
    }</span></td>
<td class="wide nowrap">${version}</td><td class="wide mono">${rules ?? "none yet"}</td><td class="wide mono">${id}</td>
<td class="number nowrap">${times.short(startedAt)}</td><td class="number nowrap">${
      behind.toLocaleString("en")
    } frames</td></tr>
`
  );
  const wide = [["Version", "wide"], ["Rules", "wide"], ["Id", "wide"]] as const;
  const numbers = [["Since", "number"], ["Behind", "number"]] as const;
  return markup`${rowTable("", ["State", "Role", "Host, process, address", ...wide, ...numbers], rows)}
<p class="soft">Behind: what of the log the replica had not applied at its last sign of life. Rules: the same for two replicas with the same rules.</p>`;
}
