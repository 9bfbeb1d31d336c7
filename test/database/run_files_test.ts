import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { OpenDatabase } from "../../runtime/database/open_database.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import { DatabaseServer, replica } from "./server.ts";

const server = await DatabaseServer.start();
globalThis.addEventListener("unload", () => void server[Symbol.asyncDispose]());

const RUN = "1k0rjzn5r00000p6j213";

function filesOf({ path, folder }: OpenDatabase): RunFiles {
  return new RunFiles(join(path, "files"), folder.disk, undefined, (below) => folder.fetchBelow(`files/${below}`));
}

Deno.test("a step finds the files that the run has saved on another replica, by their recorded paths and in its folder", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using second = await replica(url);
  await Promise.all([first.folder.load(), second.folder.load()]);
  const [one, two] = [filesOf(first), filesOf(second)];
  const text = new TextEncoder().encode("a,b\n");
  const saved = await one.saveSent({ run: RUN, step: "get", name: "a b.csv", what: "it" }, text, "text/csv");
  const { run } = await two.localise({ run: `cat "${saved.path}"` });
  const here = String(run).slice(5, -1);
  assert.ok(here.startsWith(second.path + "/") && here !== saved.path);
  assert.equal(await readFile(here, "utf8"), "a,b\n");
  assert.deepEqual(await one.localise({ run: `cat "${saved.path}"` }), { run: `cat "${saved.path}"` });
  // What is there already is found without the recorded path.
  const more = await one.saveSent({ run: RUN, step: "more", name: "c", what: "it" }, text, "text/csv");
  const folder = await two.folderOf(RUN);
  assert.equal(await readFile(join(folder, more.path.split(`/${RUN}/`)[1]), "utf8"), "a,b\n");
});
