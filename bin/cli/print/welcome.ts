import { basename } from "node:path";
import { argv, env, execPath } from "node:process";
import { embedded } from "../../../runtime/host/embedded.ts";
import type { RuleListing } from "../../../runtime/web/rule_listing.ts";
import { paint, type Terminal } from "./terminal.ts";

/** What a program that has just started prints about itself. */
export interface Welcome {
  url: string;
  /** Absent if it is packed into the program: then it cannot be changed. */
  folder?: string;
  /** Absent if commands find it by default. */
  data?: string;
  rules: RuleListing[];
  /** Without a token only hooks and forms are open: a browser, which has none, does not get the page. */
  asksForToken: boolean;
}

/** Prints what to try next. */
export function printWelcome(terminal: Terminal, { url, folder, data, rules, asksForToken }: Welcome): void {
  const live = rules.filter(({ state }) => state !== "broken");
  const open = live.flatMap(({ triggers }) => triggers).find(({ hook }) => hook?.open && hook.method === "POST")?.hook;
  const whenthen = commandName();
  const on = data === undefined ? "" : ` --data ${data}`;
  const tries: [what: string, why: string][] = [
    asksForToken
      ? [`curl -H "Authorization: Bearer $WHENTHEN_TOKEN" ${url}/api/rules`, "the rules, as JSON"]
      : [`${url}/`, "the rules and the last runs on a page"],
    ...open ? [[`curl -d '{"name":"Ada"}' ${url}${open.path}`, "send something to a webhook"] as [string, string]] : [],
    [`${whenthen} events${on}`, "what arrived, and what each rule made of it (in another terminal)"],
    [`${whenthen} runs${on}`, "what ran; show RUN has every step of it"],
    ...folder === undefined ? [] : [[`save a file in ${folder}`, "it is live within a second"] as [string, string]],
  ];
  const width = Math.max(...tries.map(([what]) => what.length));
  terminal.write(
    `\n${live.length} ${live.length === 1 ? "rule" : "rules"} of ${
      folder ?? "the packed folder"
    } at ${url}. Try next:\n`,
  );
  for (const [what, why] of tries) {
    terminal.write(`  ${paint(terminal, "bold", what.padEnd(width))}  ${paint(terminal, "dim", why)}\n`);
  }
  terminal.write("\n");
}

/** How the reader calls the program: as an npm script, as a Deno task, or by its name. */
function commandName(): string {
  if (embedded) return basename(execPath);
  if (!argv[1]?.endsWith(".ts")) return "whenthen";
  return env.npm_lifecycle_event === undefined ? "deno task whenthen" : "npm run -s whenthen --";
}
