import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { OTO } from "./oto_export.ts";
import { start, whenthen } from "./program.ts";
import { until } from "./until.ts";

Deno.test("import makes a command file of OTO's export, and export gives the same again, or a graph", async () => {
  await using folder = await rulesFolder({});
  const [json, yaml] = [join(folder.rules, "nmap.json"), join(folder.rules, "nmap.yaml")];
  await writeFile(json, JSON.stringify(OTO));
  const imported = await whenthen(["import", json, "-o", yaml]);
  assert.deepEqual([imported.code, imported.stderr], [0, "--rtt conflicts with -gone, which is not there\n"]);
  const text = await readFile(yaml, "utf8");
  assert.equal((await command("import", json, "-o", yaml)).code, 0);
  assert.equal(await readFile(yaml, "utf8"), text, "importing twice changes nothing");

  const exported = await command("export", yaml);
  assert.deepEqual([exported.code, exported.stderr], [0, ""]);
  assert.deepEqual(JSON.parse(exported.stdout), OTO);
  assert.match((await command("export", "--dot", yaml)).stdout, /^digraph .*"--rtt" -> "-iR";/s);

  await writeFile(yaml, `${text}end: "--"\n`);
  const { stderr } = await whenthen(["export", yaml]);
  assert.match(stderr, /^OTO's export cannot hold "end" of /);
  await writeFile(yaml, "command: x\nfoo: 1\n");
  const broken = await whenthen(["export", yaml]);
  assert.deepEqual([broken.code, broken.stdout], [2, ""]);
  assert.match(broken.stderr, /nmap\.yaml:2:1: unknown key "foo"/);
  const none = await command("export", json);
  assert.deepEqual([none.code, none.stderr], [64, `Cannot read ${json} as a command: it has no "command:"\n`]);
});

Deno.test("commands lists the files and shows one; a saved file is in force at once; check --programs looks at versions", async () => {
  await using folder = await rulesFolder({
    "commands/sh.yaml": "command: sh\nname: Shell\ninputs: { -c: { type: text, help: What it does } }\n",
    "commands/other.yaml": 'command: openssl\nversion: { is: ">=99", by: [version] }\n',
  });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const list = async (...words: string[]) => (await command("commands", ...words, "--data", folder.data)).stdout;
  assert.match(await list(), /commands\/sh +Shell +sh +1/);
  assert.match(await list("commands/sh"), /Runs sh\n[^]*-c +text +What it does/);
  assert.equal((await command("commands", "none", "--data", folder.data)).code, 1);

  await folder.write("commands/late.yaml", "command: true\n".replace("true", "cat"));
  await until("the command", () => program.api("commands"), ({ length }) => length === 3);

  const { code, stdout } = await command("check", folder.rules, "--programs", "--data", folder.data);
  assert.equal(code, 2);
  assert.match(stdout, /commands\/other\.yaml:1:10: openssl has version [\d.]+, expected >=99 \(openssl version\)/);
  assert.equal((await command("check", folder.rules, "--data", folder.data)).code, 0);
});

Deno.test("a command is started by itself, and its output is on the page of its run while it runs", async () => {
  await using folder = await rulesFolder({
    "commands/slow.yaml":
      "command: ./slow.sh\ninputs: { --n: { type: integer }, files: { type: list, position: last } }\n",
    "commands/slow.sh": '#!/bin/sh\necho "begins with $*"\nwhile [ ! -e go ]; do sleep 0.1; done\necho the end\n',
  });
  await using program = start(folder.rules, { data: folder.data });
  const url = await program.url();
  await program.post("/api/rules/commands/slow/start", { inputs: { files: ["a b"], "--n": 2 } });
  const [{ id, event }] = await program.api("runs");
  assert.deepEqual(event.data, { files: ["a b"], "--n": 2 });
  const page = async () => await (await fetch(`${url}/runs/${id}`, { headers: { accept: "text/html" } })).text();
  const text = await until("its output", page, (shown) => shown.includes("begins with"));
  assert.match(text, /<pre class="tail" tabindex="0">begins with --n 2 a b\n<\/pre>/);
  await writeFile(join(folder.data, "files", id, "go"), "");
  await program.waitForMessage("commands/slow succeeded");
  const { steps: [{ output }] } = await program.api(`runs/${id}`);
  assert.deepEqual([output.stdout, output.argv], ["begins with --n 2 a b\nthe end\n", ["--n", "2", "a b"]]);
  assert.deepEqual(await program.api("rules"), [], "it is no rule of the folder");
  const started = await command("--data", folder.data, "start", "commands/slow", "--", "--n=3", "files=c");
  assert.equal(started.code, 0, started.stderr);
  const [second] = await program.api("runs");
  assert.deepEqual(second.event.data, { "--n": 3, files: ["c"] });
  // It would outlive the program, which the end of the test kills.
  await program.post(`/api/runs/${second.id}/cancel`, {});
  await until("its end", () => program.api(`runs/${second.id}`), ({ run }) => run.state === "cancelled");
});
