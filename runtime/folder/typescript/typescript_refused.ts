import type { CodePlace } from "../../workers/workers.ts";
import { UserCode } from "../../workers/user_code.ts";

const CHILDREN = "use step.run: the program starts children itself, so that it can end them";
const SERVERS = 'use a webhook trigger: webhook("/path", { auth: … })';

/** Modules that the user's own files may not import, and what to use instead. */
export const REFUSED_MODULES: Record<string, string> = {
  child_process: CHILDREN,
  cluster: CHILDREN,
  worker_threads: "rule code runs in a worker already; use step.run for heavy work",
};

/** Parts of Deno that the single binary lacks, or that would affect the whole program. */
const REFUSED_GLOBALS: Record<string, string> = {
  "Deno.serve": SERVERS,
  "Deno.serveHttp": SERVERS,
  "Deno.listen": SERVERS,
  "Deno.listenTls": SERVERS,
  "Deno.upgradeWebSocket": SERVERS,
  "Deno.Command": CHILDREN,
  "Deno.run": CHILDREN,
  "Deno.spawn": CHILDREN,
  "Deno.exit": "use step.stop: it ends the run, not the program",
  "Deno.cron": 'use a cron trigger: cron("0 8 * * *")',
  "Deno.openKv": "use step.state: memory across runs",
  "Deno.networkInterfaces": 'import networkInterfaces from "node:os"',
  "Deno.systemMemoryInfo": 'import freemem and totalmem from "node:os"',
  "Bun.serve": SERVERS,
  "Bun.spawn": CHILDREN,
  "Bun.spawnSync": CHILDREN,
  "Bun.$": CHILDREN,
  "Bun.env": "use env and secrets, which rule functions get",
};

/** A use of something that is not allowed in rule code. */
export interface RefusedUse {
  name: string;
  hint: string;
  place: CodePlace;
}

/** A quick test: true if the code is worth a real search. */
export function mayUseRefused(code: string): boolean {
  return /\b(Deno|Bun)\b/.test(code);
}

/**
 * For esbuild's `define`: only a real, unshadowed use of the global is replaced, none in comments or texts. The resulting
 * bundle is not run, only searched by {@link findRefused}.
 */
export function refusedDefines(): Record<string, string> {
  return Object.fromEntries(Object.keys(REFUSED_GLOBALS).map((name) => [name, mark(name)]));
}

/** Finds refused globals in the user's own files. Packages are exempt: they often only check what exists. */
export function findRefused(markedCode: string): RefusedUse[] {
  const code = new UserCode(markedCode);
  return Object.entries(REFUSED_GLOBALS).flatMap(([name, hint]) =>
    code.placesOfText(mark(name))
      .filter((place) => !place.file.includes("node_modules/"))
      .map((place) => ({ name, hint, place }))
  );
}

function mark(name: string): string {
  return `__whenthen_refused_${name.replace(/\W/g, (char) => `_${char.codePointAt(0)}_`)}__`;
}
