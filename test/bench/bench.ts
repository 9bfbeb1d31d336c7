#!/usr/bin/env -S deno run -A
import { Command, InvalidArgumentError, Option } from "commander";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process, { stdout } from "node:process";
import { findBinary, findSource } from "./install.ts";
import { Lab } from "./lab.ts";
import { describeMachine, thisMachine } from "./machine.ts";
import { console } from "./parts/console.ts";
import { fields } from "./parts/fields.ts";
import { fleet } from "./parts/fleet.ts";
import { flows } from "./parts/flows.ts";
import { forms } from "./parts/forms.ts";
import { ingest } from "./parts/ingest.ts";
import { latency } from "./parts/latency.ts";
import { memory } from "./parts/memory.ts";
import { poll } from "./parts/poll.ts";
import { replicas } from "./parts/replicas.ts";
import { reload } from "./parts/reload.ts";
import { rules } from "./parts/rules.ts";
import { waiting } from "./parts/waiting.ts";
import { sources } from "./parts/sources.ts";
import { type Part, printAims, printPart } from "./report.ts";

/*
 * How fast whenthen is, next to similar programs on the same machine. It asserts
 * nothing: numbers differ between machines and between minutes, ratios within one run less so. What is measured is the
 * binary (deno task compile). Everything else is installed into a folder that is removed at the end. Usage: deno task bench
 */

const PARTS: Record<string, (lab: Lab) => Promise<Part>> = {
  ingest,
  latency,
  flows,
  rules,
  reload,
  memory,
  poll,
  sources,
  waiting,
  forms,
  fields,
  console,
  fleet,
  replicas,
};

function seconds(text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  throw new InvalidArgumentError("a number of seconds is expected");
}

const { seconds: longest, json, only } = new Command("bench")
  .option("--seconds <n>", "how long the longest measurement takes", seconds, 300)
  .option("--json <file>", "where the numbers go", join(tmpdir(), "whenthen-bench.json"))
  .addOption(new Option("--only <parts...>", "some of them").choices(Object.keys(PARTS)).default(Object.keys(PARTS)))
  .parse().opts<{ seconds: number; json: string; only: string[] }>();

const scratch = await mkdtemp(join(tmpdir(), "whenthen-bench-"));
try {
  const lab = new Lab(scratch, findBinary(), findSource(), longest);
  const machine = thisMachine();
  stdout.write(`${describeMachine(machine)}; whenthen ${lab.binary.version}; × against the first line\n`);
  const parts: Part[] = [];
  const failures: string[] = [];
  for (const name of only) {
    try {
      const part = await PARTS[name](lab);
      printPart(part);
      parts.push(part);
    } catch (error) {
      // The other parts took long enough.
      failures.push(`${name}: ${(error as Error).message}`);
      stdout.write(`\n${failures.at(-1)}\n`);
      process.exitCode = 1;
    }
  }
  printAims(parts);
  const { skipped, binary: { version } } = lab;
  const report = { at: new Date().toISOString(), machine, version, seconds: longest, parts, skipped, failures };
  await writeFile(json, JSON.stringify(report, null, 2) + "\n");
  stdout.write(`\n${json}\n`);
} finally {
  await rm(scratch, { recursive: true, force: true });
}
