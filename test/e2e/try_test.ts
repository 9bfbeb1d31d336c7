import assert from "node:assert/strict";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { WebServer } from "./web_server.ts";

const REACHING = `import { event, rule } from "whenthen";
import * as http from "node:http";
import { get } from "node:http";
import { connect } from "node:net";
import { createSocket } from "node:dgram";
import { writeFileSync, openSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";

const url = "PEER/ask";
const ways: Record<string, () => unknown> = {
  fetch: () => fetch(url),
  "http.get": () => new Promise((resolve, reject) => http.get(url, resolve).on("error", reject)),
  get: () => new Promise((resolve, reject) => get(url, resolve).on("error", reject)),
  connect: () => new Promise((resolve, reject) => connect({ port: Number(new URL(url).port), host: "127.0.0.1" }, () => resolve(0)).on("error", reject)),
  socket: () => new Promise((resolve, reject) => createSocket("udp4").send("a", 9, "127.0.0.1", (error) => error ? reject(error) : resolve(0))),
  WebSocket: () => new WebSocket(url.replace("http", "ws")),
  Worker: () => new Worker("data:text/javascript,0"),
  writeFileSync: () => writeFileSync("FILE", ""),
  writeFile: () => writeFile("FILE", ""),
  openSync: () => openSync("FILE", "w"),
  "Deno.writeTextFile": () => Deno.writeTextFile("FILE", ""),
};
export default rule({
  when: event("reach"),
  then: async () => {
    if (!readFileSync("/dev/null", "utf8").includes("")) throw new Error("not read");
    const reached: string[] = [];
    for (const [name, go] of Object.entries(ways)) {
      try {
        await go();
        reached.push(name);
      } catch (error) {
        if (!/a dry run sends, starts and writes nothing|NotCapable/.test(String(error))) reached.push(name + String(error));
      }
    }
    return reached.join() || "nothing";
  },
});
`;

Deno.test("no code of a rule reaches anything outside during a dry run, and it may read files", async () => {
  await using server = await WebServer.start();
  await using folder = await rulesFolder({ "reach.yaml": "when: { event: reach }\nthen:\n  - log: reached\n" });
  await using program = start(folder.rules, folder);
  await program.url();
  assert.equal((await command("--data", folder.data, "emit", "reach")).code, 0);
  await program.waitForMessage("reached");
  assert.equal(await program.stop(), 0);
  await rm(join(folder.rules, "reach.yaml"));
  const file = join(folder.rules, "written");
  const code = REACHING.replace("PEER", server.url).replaceAll("FILE", file);
  await writeFile(join(folder.rules, "reach.ts"), code);
  const tried = await command("--data", folder.data, "try", "reach", "--json");
  const { events: [{ now: { run } }] } = JSON.parse(tried.stdout);
  assert.deepEqual([run.error, run.output], [undefined, "nothing"]);
  assert.deepEqual(server.seen, []);
  assert.deepEqual(await readdir(folder.rules), ["reach.ts"]);
});
