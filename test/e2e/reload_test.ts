import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { WebServer } from "./web_server.ts";

const hook = (text: string) => `
when: { webhook: /in, auth: none, dedupe: event.data.id }
limit: none
then:
  - log: "${text} \${{ event.data.id }}"
`;

Deno.test("ten saves within a second under load: the last content is live after at most three loads, no event is lost or duplicated", async () => {
  await using folder = await rulesFolder({ "in.yaml": hook("v0") });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  let sent = 0;
  let saving = true;
  const load = (async () => {
    while (saving) {
      const { status } = await program.post("/hooks/in", { id: ++sent });
      assert.equal(status, 202);
    }
  })();
  // Without a pause between them, so that they fall within a second however busy the machine is.
  for (let save = 1; save <= 10; save++) saveAtOnce(folder.rules, "in.yaml", hook(`v${save}`));
  await program.waitFor("a run of the last version", ({ message }) => message.startsWith("v10 "));
  saving = false;
  await load;
  const runs = () => program.lines.filter(({ message }) => /^v\d+ \d+$/.test(message));
  await program.waitFor("the last event's run", ({ message }) => message.endsWith(` ${sent}`));
  await program.waitFor("all runs", () => runs().length >= sent);
  const ids = runs().map(({ message }) => Number(message.split(" ")[1])).sort((a, b) => a - b);
  assert.deepEqual(ids, Array.from({ length: sent }, (_, index) => index + 1));
  const loads = program.lines.filter(({ message }) => message.startsWith("loaded in "));
  assert.ok(loads.length - 1 <= 3, `${loads.length - 1} loads`);
});

/** Saves as most editors do, synchronously. */
function saveAtOnce(folder: string, name: string, text: string): void {
  writeFileSync(join(folder, "..", name), text);
  renameSync(join(folder, "..", name), join(folder, name));
}

Deno.test("a broken file keeps its last good version, and the problem has its position", async () => {
  await using folder = await rulesFolder({ "in.yaml": hook("good") });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  await folder.write("in.yaml", hook("bad").replace("log:", "lgo:"));
  const kept = await program.waitForMessage("kept in");
  assert.match(kept.message, /in\.yaml:5:5: .*"?lgo"?/);
  assert.match(kept.message, /\^/);
  assert.equal((await program.post("/hooks/in", { id: "x" })).status, 202);
  await program.waitForMessage("good x");
  await folder.write("in.yaml", hook("mended"));
  await program.waitForMessage("loaded in");
  await rm(join(folder.rules, "in.yaml"));
  await program.waitForMessage("removed in");
  assert.equal((await program.post("/hooks/in", { id: "y" })).status, 404);
});

Deno.test("a file that broke while the program was down keeps its last good version", async () => {
  await using folder = await rulesFolder({
    "in.yaml": hook("good"),
    "gone.yaml": hook("gone").replace("/in", "/gone"),
  });
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    assert.equal(await program.stop(), 0);
  }
  await folder.write("in.yaml", hook("bad").replace("log:", "lgo:"));
  await rm(join(folder.rules, "gone.yaml"));
  await using program = start(folder.rules, { data: folder.data });
  assert.equal((await program.post("/hooks/in", { id: "x" })).status, 202);
  await program.waitForMessage("kept in");
  await program.waitForMessage("good x");
  assert.equal((await program.post("/hooks/gone", { id: "y" })).status, 404);
});

Deno.test("reordering the triggers of a rule keeps their cursors; a changed key starts a new baseline", async () => {
  await using peer = await WebServer.start((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify([{ id: 1, sku: "a", price: 5 }, { id: 2, sku: "b", price: 7 }]));
  });
  const poll = (name: string, key: string) => `  - poll: ${peer.url}/${name}\n    every: 1s\n    key: ${key}\n`;
  const rule = (...polls: string[]) => `when:\n${polls.join("")}then:\n  - log: "changed \${{ event.subject }}"\n`;
  await using folder = await rulesFolder({ "p.yaml": rule(poll("one", "item.id"), poll("two", "item.id")) });
  await using program = start(folder.rules, { data: folder.data });
  const polledTwice = async () => {
    const counts = ["/one", "/two"].map((wanted) => [wanted, peer.seen.filter(({ path }) => path === wanted).length]);
    for (const [wanted, count] of counts) await peer.waitFor(Number(count) + 2, ({ path }) => path === wanted);
  };
  await polledTwice();
  await folder.write("p.yaml", rule(poll("two", "item.id"), poll("one", "item.id")));
  await program.waitFor(
    "the reload",
    () => program.lines.filter(({ message }) => message.startsWith("loaded p")).length === 2,
  );
  await polledTwice();
  await folder.write("p.yaml", rule(poll("two", "item.sku"), poll("one", "item.id")));
  await program.waitFor(
    "the reload",
    () => program.lines.filter(({ message }) => message.startsWith("loaded p")).length === 3,
  );
  await polledTwice();
  assert.deepEqual(await program.api("runs"), []);
  peer.answer((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify([{ id: 1, sku: "a", price: 6 }, { id: 2, sku: "b", price: 7 }]));
  });
  await program.waitForMessage("changed a");
  await program.waitForMessage("changed 1");
});
