import assert from "node:assert/strict";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Acting } from "../../runtime/engine/acting.ts";
import type { RunnerOptions } from "../../runtime/engine/runner_options.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import type { Change, SharedStore } from "../../runtime/store/shared_store.ts";
import type { Receipt } from "../../runtime/store/store.ts";
import type { Isolates } from "../../runtime/workers/workers.ts";
import { type Replica, SharedPlace } from "../store/shared/place.ts";
import { Bench, START } from "./harness.ts";

/** A replica with its runner. */
export class ReplicaBench extends Bench {
  replica!: Replica;
  /** Called with the changes by others, after the runner. */
  onChange: (change: Change) => void = () => {};
  /** Awaited after it has listed the replicas. */
  onListed: () => Promise<void> | void = () => {};
  #sent = 0;

  get shared(): SharedStore {
    return this.replica.store;
  }

  /** An event that arrives here: its run is claimed with it, and executed here. */
  async take(rule: Rule, data: Json = {}): Promise<Receipt> {
    const now = this.clock.now();
    await this.store.putVersions([rule]);
    const event = {
      id: `${this.replica.id}-${++this.#sent}`,
      source: "/test",
      type: "test",
      time: new Date(now).toISOString(),
      data,
      http: { method: "POST", path: "/", params: {}, query: {}, headers: {}, leftOut: [] },
    };
    const outcome = {
      kind: "admit" as const,
      mode: rule.mode,
      key: null,
      max: rule.max,
      limit: rule.limit,
      asksFirst: rule.if === "function",
    };
    const candidate = { rule: rule.id, version: rule.version, trigger: "manual", outcome };
    const lease = this.runner.lease(1);
    const [receipt] = await this.store.accept([{ event, candidates: [candidate] }], [], now, lease);
    this.runner.replace(receipt);
    this.runner.take(lease, receipt.claimed ?? []);
    return receipt;
  }
}

/** Replicas on one store; the first one decides. */
export interface Replicas {
  place: SharedPlace;
  clock: ManualClock;
  decider: ReplicaBench;
  follower: ReplicaBench;
  /** Starts one more. @param acting whether it may begin new work */
  start(acting?: Acting): Promise<ReplicaBench>;
}

/** A replica that decides and one that follows, closed after the test. */
export async function withReplicas(
  use: (replicas: Replicas) => Promise<void>,
  { options = {}, workers }: { options?: Partial<RunnerOptions>; workers?: Isolates } = {},
): Promise<void> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "whenthen-replicas-")));
  const place = new SharedPlace();
  const clock = new ManualClock(START);
  const started: ReplicaBench[] = [];
  const start = async (acting: Acting = () => undefined) => {
    const replica = await place.start();
    const sharing = {
      store: replica.store,
      async registered() {
        const ids = [...place.replicas.keys()].filter((id) => !place.fenced.has(id));
        await bench.onListed();
        return ids;
      },
      acting,
    };
    const bench: ReplicaBench = new ReplicaBench(folder, {
      manualClock: clock,
      owner: replica.id,
      openStore: () => Promise.resolve(replica.store),
      shared: sharing,
      ...options,
    }, workers);
    bench.replica = replica;
    await bench.open();
    replica.store.watch((change) => {
      bench.runner.changed(change);
      bench.onChange(change);
    });
    await bench.runner.start({ decides: place.holder === replica.id });
    started.push(bench);
    return bench;
  };
  try {
    const decider = await start();
    const follower = await start();
    await use({ place, clock, decider, follower, start });
    for (const { errors } of started) assert.deepEqual(errors, []);
  } finally {
    // Those that follow first: they need the one that decides.
    for (const { runner, store, replica } of started.reverse()) {
      if (place.fenced.has(replica.id)) continue;
      await runner.drain(0);
      await store.close();
    }
    await rm(folder, { recursive: true, force: true });
  }
}
