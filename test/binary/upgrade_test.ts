import assert from "node:assert/strict";
import { cp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "../../bin/build/npm_package.ts";
import { temporaryFolder } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { BINARY, binaryTest, machine, runAlone, startAlone } from "./binary.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

/** Builds the next version from a copy of the sources, and returns its path. */
async function buildNext(folder: string): Promise<string> {
  for (const part of ["bin", "runtime", "deno.json", "deno.lock"]) {
    await cp(join(ROOT, part), join(folder, part), { recursive: true, filter: (path) => path !== BINARY });
  }
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ ...manifest, version: "99.0.0" }));
  await runTool(Deno.execPath(), ["run", "-A", "bin/build/compile.ts"], folder);
  return join(folder, "bin/whenthen");
}

binaryTest(
  "a run finishes on its version after sources and packages are removed, after a restart and in a newer binary",
  async () => {
    await using peer = await WebServer.start(() => {});
    await using build = await temporaryFolder();
    await using alone = await machine({
      "node_modules/greeting/package.json": `{ "name": "greeting", "version": "1.0.0", "main": "index.js" }`,
      "node_modules/greeting/index.js": `exports.greet = (name) => "Hello, " + name;`,
      "greet.ts": `
import { rule, webhook } from "whenthen";
import { greet } from "npm:greeting@1";
export default rule({
  when: webhook("/greet", { auth: "none" }),
  then: async ({ event, step }) => {
    const at = await step.do("begin", () => Date.now());
    await step.http("hold", "POST ${peer.url}/hold", { json: { at }, timeout: "1h" });
    await step.log("tell", greet((event.data as { name: string }).name) + " at " + at);
  },
});
`,
    });
    let run: string;
    {
      await using program = startAlone(alone);
      const { body } = await program.post("/hooks/greet", { name: "Ada" });
      run = body.runs[0];
      await peer.waitFor(1);
      assert.equal(await program.stop(), 0);
    }
    for (const path of ["greet.ts", "node_modules"]) await rm(join(alone.rules, path), { recursive: true });
    {
      await using program = startAlone(alone);
      await peer.waitFor(2);
      await program.kill();
    }
    await rename(await buildNext(build.path), alone.binary).catch(async (error) => {
      if (error.code !== "EXDEV") throw error;
      await rm(alone.binary);
      await cp(join(build.path, "bin/whenthen"), alone.binary);
    });
    assert.match((await runAlone(alone, ["--version"])).stdout, /^99\.0\.0 /);
    peer.answer((_, response) => response.end("{}"));
    await using program = startAlone(alone);
    const [first] = (await peer.waitFor(3)).map(({ body }) => JSON.parse(body).at);
    await program.waitForMessage(`Hello, Ada at ${first}`);
    await program.waitFor("the end", ({ message, properties }) => properties.run === run && /succeeded/.test(message));
    assert.deepEqual(
      peer.seen.map(({ body }) => JSON.parse(body).at),
      [first, first, first],
      "step 1 is never done again",
    );
    assert.equal(await program.stop(), 0);
  },
);
