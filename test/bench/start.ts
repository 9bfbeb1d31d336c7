#!/usr/bin/env -S deno run -A
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import { type Case, type Contender, contenders } from "./contenders.ts";
import { describeMachine, thisMachine } from "./machine.ts";
import { measureStart, type Start } from "./measure.ts";
import { median, ratio } from "./numbers.ts";

/*
 * Start to ready, and memory at rest: the binary, the source on Deno, Debian's webhook and Node-RED, side by side on the
 * machine as it is. It asserts nothing. Usage: deno task bench:start [FILE for the numbers as JSON]
 */

const CASES: Case[] = [
  { title: "10 YAML rules", rules: 10, language: "yaml", cold: false },
  { title: "1,000 YAML rules", rules: 1_000, language: "yaml", cold: false },
  { title: "100 TypeScript rules, first start", rules: 100, language: "typescript", cold: true },
  { title: "100 TypeScript rules", rules: 100, language: "typescript", cold: false },
];
/** Starts of each; the median is shown. They alternate, so that a busy minute affects all alike. */
const ROUNDS = 5;

interface Row {
  case: string;
  program: string;
  /** Milliseconds, milliseconds of processor time and MB of each start. */
  ready: number[];
  cpu: number[];
  memory: number[];
}

async function benchmark(it: Case, all: Contender[], scratch: string): Promise<Row[]> {
  const taking = all.filter((contender) => contender.takes(it));
  const starts = new Map<Contender, Start[]>(taking.map((contender) => [contender, []]));
  const folders = new Map<Contender, string>();
  for (const contender of taking) {
    const folder = join(scratch, `${it.title} ${contender.name}`.replaceAll(/\W+/g, "-"));
    await mkdir(folder);
    await contender.prepare(folder, it);
    folders.set(contender, folder);
  }
  // One more if a start uses caches of the previous one.
  for (let round = it.cold ? 1 : 0; round <= ROUNDS; round++) {
    for (const contender of taking) {
      const folder = folders.get(contender)!;
      if (it.cold) await contender.forget(folder);
      const start = await measureStart({
        command: (port) => contender.command(folder, port),
        readyPath: contender.readyPath(it),
        cwd: folder,
      });
      if (round > 0) starts.get(contender)!.push(start);
    }
  }
  return taking.map((contender) => {
    const of = starts.get(contender)!;
    return {
      case: it.title,
      program: contender.name,
      ready: of.map(({ ready }) => Math.round(ready)),
      cpu: of.map(({ cpu }) => cpu),
      memory: of.map(({ memory }) => Math.round(memory)),
    };
  });
}

function printRows(rows: Row[]): void {
  const [first] = rows;
  stdout.write(`\n${first.case}\n`);
  for (const { program, ready, cpu, memory } of rows) {
    const cells = [
      program.padEnd(20),
      `${median(ready)} ms`.padStart(9),
      ratio(median(ready), median(first.ready)).padStart(7),
      `(${Math.min(...ready)} to ${Math.max(...ready)})`.padEnd(18),
      `${median(cpu)} ms`.padStart(8),
      `${median(memory)} MB`.padStart(7),
      ratio(median(memory), median(first.memory)).padStart(7),
    ];
    stdout.write(`  ${cells.join(" ").trimEnd()}\n`);
  }
}

const scratch = await mkdtemp(join(tmpdir(), "whenthen-bench-"));
try {
  const { found, missing } = contenders(scratch);
  const machine = thisMachine();
  stdout.write(`${describeMachine(machine)}; `);
  stdout.write(
    `median of ${ROUNDS} starts: start to ready (least to most), processor time until then, memory at rest; × against the first line\n`,
  );
  for (const { name, version } of found) stdout.write(`  ${name}: ${version}\n`);
  for (const what of missing) stdout.write(`  missing: ${what}\n`);
  const rows: Row[] = [];
  for (const it of CASES) {
    const some = await benchmark(it, found, scratch);
    printRows(some);
    rows.push(...some);
  }
  const [, , file = join(tmpdir(), "whenthen-bench-start.json")] = argv;
  const programs = found.map(({ name, version }) => ({ name, version }));
  await writeFile(file, JSON.stringify({ at: new Date().toISOString(), machine, programs, rows }, null, 2) + "\n");
  stdout.write(`\n${file}\n`);
} finally {
  await rm(scratch, { recursive: true, force: true });
}
