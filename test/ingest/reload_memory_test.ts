import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryUsage } from "node:process";
import { systemClock as clock } from "../../runtime/host/clock.ts";
import { Attachments } from "../../runtime/folder/attachments.ts";
import { Ingest } from "../../runtime/ingest/ingest.ts";
import { LiveRules } from "../../runtime/folder/live_rules.ts";
import { openLoading } from "../../runtime/folder/open_folder.ts";
import { Secrets } from "../../runtime/secrets/secrets.ts";
import { stepKinds } from "../../runtime/engine/steps/index.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import { triggerKinds } from "../../runtime/triggers/index.ts";
import { HookRegistry } from "../../runtime/web/hook_registry.ts";

const RELOADS = 300;
const WARM = 100;

const yaml = (version: number) => `
when:
  - { webhook: /in, auth: none, dedupe: event.data.id }
  - { every: ${1 + version % 3}h }
if: event.data.id >= ${version % 7} - 7
then:
  - log: "version ${version} \${{ event.data.id }}"
`;

Deno.test("300 reloads under load leave memory and hooks unchanged, and lose no event", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-reloads-"));
  const data = join(folder, "data");
  const rules = join(folder, "rules");
  await Deno.mkdir(rules);
  const secrets = new Secrets({ environment: {}, files: [], folders: [] });
  const store = await openStore({ folder: data, onWarning: assert.fail, now: clock.now() });
  const { loader, close } = openLoading({
    folder: rules,
    data,
    environment: {},
    stepKinds,
    secrets,
    now: clock.now,
    onLog: () => {},
  });
  const hooks = new HookRegistry();
  const surroundings = () => ({ env: {}, secrets: secrets.scope() });
  const ingest = new Ingest({ store, clock, surroundings, onAccepted: () => {} });
  const attachments = new Attachments({
    kinds: triggerKinds,
    folder: rules,
    clock,
    store,
    ingest,
    hooks,
    surroundings,
    execute: () => Promise.reject(new Error("nothing polls here")),
    log: () => ({ info() {}, warn() {} }),
    report: () => {},
  });
  const live = new LiveRules({ loader, store, ingest, attachments, onLoaded: () => {}, onFailure: assert.fail });
  let sent = 0;
  const post = async () => {
    const matches = hooks.match("/in");
    assert.equal(matches.length, 1, "the path always has exactly one hook");
    const [{ hook: { rule, trigger } }] = matches;
    const id = String(sent++);
    const event = { id, source: "/hooks/in", type: "webhook", time: new Date().toISOString(), data: { id: sent } };
    const [receipt] = await ingest.deliver([{ rule, trigger, event }]);
    assert.equal(receipt.runs.length, 1);
  };
  try {
    let heap = 0;
    for (let reload = 0; reload <= RELOADS; reload++) {
      await writeFile(join(rules, "in.yaml"), yaml(reload));
      let over = false;
      const reloading = live.reload().finally(() => over = true);
      if (reload === 0) await reloading;
      while (!over) {
        await store.dropVersions(live.versions);
        await post();
      }
      await reloading;
      if (reload === WARM) heap = memoryUsage().heapUsed;
    }
    const grown = (memoryUsage().heapUsed - heap) / 1e6;
    console.log(`${sent} events; the heap grew by ${grown.toFixed(1)} MB in ${RELOADS - WARM} reloads`);
    assert.ok(grown < 60, `${grown} MB`);
    assert.deepEqual(hooks.paths(), ["/in"]);
    const { queued } = await store.countRuns();
    assert.ok(queued >= sent, `${queued} runs of ${sent} events`);
    for (const { id, version } of await store.listRuns({ limit: 1_000 })) {
      assert.ok(await store.getVersion(version), `run ${id} is pinned to a version that upkeep dropped`);
    }
  } finally {
    await attachments.detachAll();
    await close();
    await store.close();
    await rm(folder, { recursive: true });
  }
});
