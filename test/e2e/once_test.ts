import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { whenthen } from "./program.ts";
import { WebServer } from "./web_server.ts";

const items = (...prices: number[]) => JSON.stringify(prices.map((price, index) => ({ id: `i${index}`, price })));

Deno.test("whenthen once: polls once, finishes what starts, exits with a code for CI jobs", async () => {
  await using peer = await WebServer.start((_, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end(items(1, 2));
  });
  await using folder = await rulesFolder({
    "watch.yaml": `
when: { poll: "${peer.url}/items", key: item.id }
then:
  - emit: price.changed
    data: { id: "\${{ event.subject }}", price: "\${{ event.data.new.price }}" }
`,
    "tell.yaml": `
when: { event: price.changed }
then:
  - run: [sh, -c, 'cat > "$OUT"']
    stdin: "\${{ event.data.id }} costs \${{ event.data.price }}"
    env: { OUT: "${"$"}{{ env.OUT_FILE }}" }
`,
  });
  const out = `${folder.rules}/../out.txt`;
  const once = (...more: string[]) =>
    whenthen(["once", folder.rules, "--data", folder.data, "--log", "json", ...more], { env: { OUT_FILE: out } });

  assert.equal((await once("--require-state")).code, 3, "a new store, but state is required");
  await Deno.remove(folder.data, { recursive: true }).catch(() => {});
  const seeded = await once();
  assert.equal(seeded.code, 0, seeded.stdout + seeded.stderr);
  await assert.rejects(Deno.readTextFile(out), "the first pass only sets the baseline");

  peer.answer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(items(1, 3)));
  const changed = await once("--require-state");
  assert.equal(changed.code, 0, changed.stdout + changed.stderr);
  assert.equal(await Deno.readTextFile(out), "i1 costs 3");

  peer.answer((_, response) => response.writeHead(503).end());
  assert.equal((await once()).code, 1, "a poll failed");
  peer.answer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(items(1, 3)));
  await folder.write("few.yaml", `when: { poll: "${peer.url}/items", key: item.id, max: 1 }\nthen: [{ log: x }]\n`);
  const capped = await once();
  assert.equal(capped.code, 1, "a poll has more than max items");
  assert.match(capped.stdout + capped.stderr, /more than 1 items, so nothing was compared/);
  await folder.write("few.yaml", "when: { event: none }\nthen: [{ log: x }]\n");
  await folder.write("broken.yaml", "when: { crn: '* * * * *' }\nthen: []\n");
  const broken = await once();
  assert.equal(broken.code, 2, "a rule does not load");
  assert.match(broken.stdout + broken.stderr, /broken\.yaml:1:9/);
});
