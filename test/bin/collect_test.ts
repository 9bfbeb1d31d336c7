import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, symlink } from "node:fs/promises";
import { join } from "node:path";
import { collect } from "../../bin/build/pack/collect.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { hashPassword } from "../../runtime/secrets/passwords.ts";
import { rulesFolder } from "../e2e/folder.ts";

const RULE = "when: start\nthen:\n  - log: hi\n";

/** The paths of the packed files, and the warnings. */
async function collected(folder: { rules: string; data: string }) {
  const out = join(folder.rules, "packed");
  const { packed, problems } = await collect({ folder: folder.rules, data: folder.data, out });
  return {
    paths: packed?.files.map(({ path }) => path),
    said: problems.map((problem) => formatProblem(problem).split("\n")[0]),
  };
}

Deno.test("files of secrets in whenthen.yaml, and links to them, are left out with a warning", async () => {
  await using folder = await rulesFolder({
    "a.yaml": RULE,
    "whenthen.yaml": "secrets: { files: [prod.env, sub/more.env], folders: mounted }\n",
    ".env": "A=1\n",
    "prod.env": "B=correct-horse\n",
    "sub/more.env": "C=correct-horse\n",
    "mounted/D": "correct-horse\n",
    "mounted/deep/E": "correct-horse\n",
    "mounted.txt": "no secret",
  });
  await symlink("prod.env", join(folder.rules, "link.txt"));
  const { paths, said } = await collected(folder);
  assert.deepEqual(paths, ["a.yaml", "mounted.txt", "whenthen.yaml"]);
  const left = ["link.txt", "mounted/D", "mounted/deep/E", "prod.env", "sub/more.env"];
  assert.deepEqual(
    said,
    left.map((path) => `${path}:1:1: warning: left out: whenthen.yaml names it as a file of secrets`),
  );
});

Deno.test("code that imports a file of secrets is not packed: it would be in its bundle", async () => {
  await using folder = await rulesFolder({
    "a.ts": 'import key from "./key.json";\nexport const read = () => key;\n',
    "key.json": '"correct-horse"',
    "whenthen.yaml": "secrets: { files: key.json }\n",
  });
  // Else there is a warning, too.
  await chmod(join(folder.rules, "key.json"), 0o600);
  const { paths, said } = await collected(folder);
  assert.equal(paths, undefined);
  assert.deepEqual(said, [
    `a.ts:1:1: imports ${join(folder.rules, "key.json")}, a file of secrets, which would be packed`,
  ]);
});

Deno.test("password hashes are packed, with a warning that names the people", async () => {
  const hash = await hashPassword("correct horse battery");
  await using folder = await rulesFolder({
    "a.yaml": RULE,
    "whenthen.yaml": `people:\n  anna:\n    password: ${JSON.stringify(hash)}\n  ben: { email: ben@example.org }\n`,
  });
  const { paths, said } = await collected(folder);
  assert.deepEqual(paths, ["a.yaml", "whenthen.yaml"]);
  assert.deepEqual(said, [
    "whenthen.yaml:3:5: warning: the hash of the password of anna is packed: whoever has the file can try to guess it",
  ]);
});

Deno.test("a pipe and a link to nowhere are left out with a warning", async () => {
  await using folder = await rulesFolder({ "a.yaml": RULE });
  execFileSync("mkfifo", [join(folder.rules, "pipe.txt")]);
  await symlink("nowhere", join(folder.rules, "link.txt"));
  assert.deepEqual(await collected(folder), {
    paths: ["a.yaml"],
    said: ["link.txt", "pipe.txt"].map((path) => `${path}:1:1: warning: left out: it is not a regular file`),
  });
});
