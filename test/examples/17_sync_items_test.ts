import assert from "node:assert/strict";
import { start } from "../e2e/program.ts";
import { type Seen, WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

const TOTAL = 40;
/** At once, as the rule says. */
const AT_ONCE = 4;
/** The first item that gets no answer before the program is killed. */
const CAUGHT = 15;
const REFUSED = 5;

const items = Array.from({ length: TOTAL }, (_, index) => ({ id: `i${index}` }));
const isPut = ({ method }: Seen) => method === "PUT";

for (const rule of ["sync", "sync_in_code"]) {
  Deno.test(`example 17, ${rule}: killed in the middle, no item is sent twice but those that had no answer`, async () => {
    let isDown = true;
    await using peer = await WebServer.start((seen, response) => {
      const index = Number(/i(\d+)$/.exec(seen.path)?.[1]);
      if (seen.method === "PUT" && isDown && index >= CAUGHT) return;
      response.writeHead(index === REFUSED ? 422 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(items));
    });
    await using folder = await copyExample("17-sync-items", {
      "config.yaml": `all: { from: "${peer.url}/from", to: "${peer.url}/to" }\n`,
    });
    {
      await using program = start(folder.rules, { data: folder.data });
      await program.post(`/api/rules/${rule}/start`, {});
      await peer.waitFor(CAUGHT + AT_ONCE, isPut);
      await program.kill();
    }
    isDown = false;
    await using program = start(folder.rules, { data: folder.data });
    await program.waitForMessage(`${TOTAL - 1} of ${TOTAL} items are in sync`);
    await program.waitForMessage(`Item i${REFUSED}: PUT ${peer.url}/to/i${REFUSED} answered 422`);
    await program.waitForMessage(`${rule} succeeded`);
    assert.deepEqual(peer.seen.filter((seen) => !isPut(seen)).map(({ path }) => path), ["/from"]);

    const keys = Object.groupBy(peer.seen.filter(isPut), ({ path }) => path.slice("/to/".length));
    for (const [index, { id }] of items.entries()) {
      const sent = keys[id]!.map(({ headers }) => headers["idempotency-key"]);
      assert.equal(sent.length, index >= CAUGHT && index < CAUGHT + AT_ONCE ? 2 : 1, id);
      assert.equal(new Set(sent).size, 1, "the attempts of an item have one key");
    }
    assert.equal(new Set(peer.seen.filter(isPut).map(({ headers }) => headers["idempotency-key"])).size, TOTAL);
  });
}
