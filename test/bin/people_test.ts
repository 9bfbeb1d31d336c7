import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { setInYaml, SettingsFile } from "../../bin/cli/commands/people.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import { temporaryFolder } from "../e2e/program.ts";

const ANNA = { name: "Anna", groups: ["finance"] };

/** The text with Anna added; each earlier line must still be there. */
function withAnna(text: string): string {
  const changed = setInYaml(text, ["people", "anna"], ANNA)!;
  const lines = changed.split("\n").map((line) => line.trim());
  for (const line of text.split("\n")) {
    assert.ok(lines.some((left) => left.startsWith(line.trim().replace(/[ }]*$/, ""))), `"${line}" in\n${changed}`);
  }
  assert.deepEqual(parse(changed), { ...parse(text), people: { ...parse(text)?.people, anna: ANNA } });
  return changed;
}

Deno.test("a person is added to a file of any shape; all other characters stay", () => {
  const block = "people:\n  anna:\n    name: Anna\n    groups: [finance]\n";
  assert.equal(withAnna(""), block);
  assert.equal(withAnna("# ours\n"), `# ours\n${block}`);
  assert.equal(withAnna("port: 80   # of the proxy\n\n# end\n"), `port: 80   # of the proxy\n${block}\n# end\n`);
  assert.equal(withAnna("port: 80"), `port: 80\n${block}`);
  assert.equal(withAnna("people:   # who\nport: 80\n"), `people:   # who\n${block.slice(8)}port: 80\n`);
  assert.equal(
    withAnna("people:\n    carl: { name: Carl } # him\n\n# next\nport: 80\n"),
    "people:\n    carl: { name: Carl } # him\n    anna:\n      name: Anna\n      groups: [finance]\n\n# next\nport: 80\n",
  );
  assert.equal(
    withAnna("people:\n  carl:\n    groups:\n      - a # one\n      - b\nport: 80\n"),
    "people:\n  carl:\n    groups:\n      - a # one\n      - b\n  anna:\n    name: Anna\n    groups: [finance]\nport: 80\n",
  );
  assert.equal(
    withAnna("people: { carl: { name: Carl } }\n"),
    "people: { carl: { name: Carl }, anna: {name: Anna, groups: [finance]} }\n",
  );
  assert.equal(withAnna("people: {}\n"), "people: { anna: {name: Anna, groups: [finance]}}\n");
});

Deno.test("a key of a person is set, or replaced in place", () => {
  const set = (text: string) => setInYaml(text, ["people", "anna", "token"], "new");
  assert.equal(
    set("people:\n  anna:\n    token: old # ours\n    name: Anna\n"),
    "people:\n  anna:\n    token: new # ours\n    name: Anna\n",
  );
  assert.equal(
    set("people:\n  anna:\n    name: Anna\n  carl: {}\n"),
    "people:\n  anna:\n    name: Anna\n    token: new\n  carl: {}\n",
  );
  assert.equal(set("people: { anna: { name: Anna } }\n"), "people: { anna: { name: Anna, token: new } }\n");
  assert.equal(set("people:\n  anna:\n  carl: {}\n"), "people:\n  anna:\n    token: new\n  carl: {}\n");
});

Deno.test("if the right place is uncertain, nothing is changed", () => {
  for (const text of ["people: [", "- 1\n", "people: nobody\n", "people: *all\n", "people: { anna: }\n"]) {
    assert.equal(setInYaml(text, ["people", "anna", "token"], "new"), undefined, text);
  }
});

Deno.test("a change that would make the settings invalid is not written", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "whenthen.yaml");
  const text = "people:\n  carl: { email: carl@example.org }\n";
  await writeFile(path, text);
  const file = await SettingsFile.open(folder.path);
  await assert.rejects(file.put("carla", { email: "Carl@example.org" }), (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, /carl has this address too/);
    return true;
  });
  await assert.rejects(
    file.put("a b", { name: "A" }),
    /Cannot put "a b" into .*whenthen\.yaml: expected an id of a person: letters/,
  );
  assert.equal(await readFile(path, "utf8"), text);
  assert.equal(await file.put("anna", ANNA), true);
  assert.deepEqual((await SettingsFile.open(folder.path)).people.map(({ id }) => id), ["carl", "anna"]);
  await writeFile(path, "people: [\n");
  await assert.rejects(SettingsFile.open(folder.path), /whenthen\.yaml:1:9/);
});
