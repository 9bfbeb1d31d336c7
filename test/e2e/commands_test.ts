import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "./folder.ts";
import { start, whenthen } from "./program.ts";
import { until } from "./until.ts";

const OTO = [
  {
    flag: "-iR",
    description: "Choose random targets",
    executable_tag: "nmap - 7.98",
    requires_root: false,
    requires_value: true,
    value_type: "int",
  },
  {
    flag: "--rtt",
    description: "How long: to wait",
    executable_tag: "nmap - 7.98",
    requires_root: true,
    requires_value: true,
    value_type: "string (time)",
    require_ids: ["-iR"],
    interfer_ids: ["-gone"],
  },
];

Deno.test("import makes a command file of OTO's export, and export gives the same again, or a graph", async () => {
  await using folder = await rulesFolder({});
  const [json, yaml] = [join(folder.rules, "nmap.json"), join(folder.rules, "nmap.yaml")];
  await writeFile(json, JSON.stringify(OTO));
  const imported = await whenthen(["import", json, "-o", yaml]);
  assert.deepEqual([imported.code, imported.stderr], [0, "--rtt conflicts with -gone, which is not there\n"]);
  const text = await readFile(yaml, "utf8");
  assert.equal((await whenthen(["import", json, "-o", yaml])).code, 0);
  assert.equal(await readFile(yaml, "utf8"), text, "importing twice changes nothing");

  const exported = await whenthen(["export", yaml]);
  assert.deepEqual([exported.code, exported.stderr], [0, ""]);
  assert.deepEqual(JSON.parse(exported.stdout), OTO);
  assert.match((await whenthen(["export", "--dot", yaml])).stdout, /^digraph .*"--rtt" -> "-iR";/s);

  await writeFile(yaml, `${text}end: "--"\n`);
  const { stderr } = await whenthen(["export", yaml]);
  assert.match(stderr, /^OTO's export cannot hold "end" of /);
  await writeFile(yaml, "command: x\nfoo: 1\n");
  const broken = await whenthen(["export", yaml]);
  assert.deepEqual([broken.code, broken.stdout], [2, ""]);
  assert.match(broken.stderr, /nmap\.yaml:2:1: unknown key "foo"/);
  assert.equal((await whenthen(["export", json])).code, 2);
});

Deno.test("commands lists the files and shows one; a saved file is in force at once; check --programs looks at versions", async () => {
  await using folder = await rulesFolder({
    "commands/sh.yaml": "command: sh\nname: Shell\ninputs: { -c: { type: text, help: What it does } }\n",
    "commands/other.yaml": 'command: openssl\nversion: { is: ">=99", by: [version] }\n',
  });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const list = async (...words: string[]) => (await whenthen(["commands", ...words, "--data", folder.data])).stdout;
  assert.match(await list(), /commands\/sh +Shell +sh +1/);
  assert.match(await list("commands/sh"), /Runs sh\n[^]*-c +text +What it does/);
  assert.equal((await whenthen(["commands", "none", "--data", folder.data])).code, 1);

  await folder.write("commands/late.yaml", "command: true\n".replace("true", "cat"));
  await until("the command", () => program.api("commands"), ({ length }) => length === 3);

  const { code, stdout } = await whenthen(["check", folder.rules, "--programs", "--data", folder.data]);
  assert.equal(code, 2);
  assert.match(stdout, /commands\/other\.yaml:1:10: openssl has version [\d.]+, expected >=99 \(openssl version\)/);
  assert.equal((await whenthen(["check", folder.rules, "--data", folder.data])).code, 0);
});
