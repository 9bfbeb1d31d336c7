import assert from "node:assert/strict";
import { DeviceLog } from "../../runtime/fleet/device_log.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { Ingest } from "../../runtime/ingest/ingest.ts";
import { OwnEvents } from "../../runtime/ingest/emit_own_events.ts";
import type { Event } from "../../runtime/model/event.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import type { Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { SharedPlace } from "../store/shared/place.ts";
import { NOW, open, RETENTION, rule, send, settle } from "../store/helpers.ts";

/** A rule that listens to the types. */
function listener(id: string, ...types: string[]): Rule {
  const at = { line: 1, column: 1 };
  return { ...rule(`${id} v1`), id, triggers: [{ id: "own", kind: "event", at, args: { event: types } }] };
}

const STORE = { store: "data" };

/** The ingest of a program with these rules, on a disk that survives its ends. */
class Program {
  readonly disk = new FaultyDisk();
  readonly clock = new ManualClock(NOW);
  readonly failures: string[] = [];
  store!: Store;
  ingest!: Ingest;
  own!: OwnEvents;

  constructor(readonly rules: Rule[]) {}

  /** Starts, after a power cut if it ran before. */
  async open(): Promise<this> {
    this.disk.cut();
    return await this.openOn(await open({ disk: this.disk }));
  }

  async openOn(store: Store): Promise<this> {
    const { clock } = this;
    this.store = store;
    this.ingest = new Ingest({
      store: this.store,
      clock,
      surroundings: () => ({ env: {}, secrets: {} }),
      onAccepted() {},
      full: {
        holds: () => this.own.since("full", STORE) !== undefined,
        begin: (reason) => this.own.begin("full", STORE, reason),
        end: () => this.own.end("full", STORE),
      },
    });
    this.own = new OwnEvents({ store: this.store, ingest: this.ingest, clock, maskJson: (value) => value });
    await this.store.putVersions(this.rules);
    this.ingest.setRules(new Map(this.rules.map((each) => [each.id, each])));
    for (const { id, triggers } of this.rules) {
      const types = triggers[0].args.event as string[];
      this.ingest.subscriptions.add({ rule: id, trigger: "own", types });
    }
    return this;
  }

  start(): Promise<void> {
    return this.own.start((message) => this.failures.push(message));
  }

  /** The own events so far, oldest first. */
  async events(): Promise<Event[]> {
    await this.own.settle();
    const found = await this.store.listEvents({ limit: 100 });
    return found.map(({ event }) => event).filter(({ source }) => source === "/whenthen").reverse();
  }

  /** Starts a run of "shop/pay" and ends it. @returns its id */
  async run(id: string, state: "failed" | "succeeded"): Promise<string> {
    const { runs: [run] } = await send(this.store, id);
    const error = { name: "Error", message: "no card" };
    await this.store.claimRuns("me", 1, NOW);
    await this.store.finishRun(run, { state, spent: 1, ...state === "failed" && { error, failedStep: "pay" } }, NOW);
    return run;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.own.stop();
    assert.deepEqual(this.failures, []);
    await this.store.close();
  }
}

Deno.test("the end of a run is told to a rule that listens, with its rule, run, error and cause", async () => {
  await using program = await new Program([listener("ops/alert", "whenthen.run.failed")]).open();
  await program.start();
  await program.run("e1", "succeeded");
  const run = await program.run("e2", "failed");
  const [told, ...more] = await program.events();
  assert.deepEqual(more, []);
  assert.equal(told.type, "whenthen.run.failed");
  assert.equal(told.subject, "shop/pay");
  assert.deepEqual(told.data, {
    rule: "shop/pay",
    run,
    state: "failed",
    event: { type: "paid", id: "e2" },
    error: { name: "Error", message: "no card" },
    failedStep: "pay",
  });
  assert.deepEqual(told.cause, { depth: 1, run });
  assert.deepEqual((await program.store.listRuns({ rule: "ops/alert", limit: 9 })).length, 1);
});

Deno.test("a power cut between the end of a run and its event loses nothing and doubles nothing", async () => {
  const program = new Program([listener("ops/alert", "whenthen.run.*")]);
  await program.open();
  const run = await program.run("e1", "failed");
  // Killed before the program came to it.
  await program.open();
  await program.start();
  const [told, ...more] = await program.events();
  assert.deepEqual([(told.data as { run: string }).run, more], [run, []]);
  await program.own.stop();
  await program.open();
  await using again = program;
  await again.start();
  assert.equal((await again.events()).length, 1);
  assert.deepEqual(await again.store.listNotices(9), []);
});

Deno.test("a run that an own event started never starts its rule again, and the verdict says why", async () => {
  const rules = [listener("ops/alert", "whenthen.run.failed")];
  await using program = await new Program(rules).open();
  await program.start();
  await program.run("e1", "failed");
  await program.own.settle();
  const [{ run }] = await program.store.claimRuns("me", 1, NOW);
  assert.equal(run.rule, "ops/alert");
  await program.store.finishRun(run.id, { state: "failed", spent: 1 }, NOW);
  const [, own] = await program.events();
  const record = (await program.store.listEvents({ limit: 9 })).find(({ event }) => event.id === own.id)!;
  assert.equal(record.verdicts[0].verdict.kind, "looped");
  assert.equal((await program.store.listRuns({ rule: "ops/alert", limit: 9 })).length, 1);
});

Deno.test("a rule for all events hears no own ones, and what nobody hears is not stored", async () => {
  await using program = await new Program([listener("log/all", "*")]).open();
  await program.start();
  await program.run("e1", "failed");
  program.own.begin("poll", { rule: "a", trigger: "poll" }, "HTTP 503");
  assert.deepEqual(await program.events(), []);
});

Deno.test("a condition is told when it begins and when it ends, once, also over a restart", async () => {
  const about = { rule: "shop/stock", trigger: "poll" };
  const program = await new Program([listener("ops/alert", "whenthen.poll.*")]).open();
  await program.start();
  program.own.end("poll", about);
  program.own.begin("poll", about, "HTTP 503");
  program.own.begin("poll", about, "HTTP 502");
  assert.deepEqual((await program.events()).map(({ type, subject, data }) => ({ type, subject, data })), [
    { type: "whenthen.poll.failed", subject: "shop/stock", data: { ...about, reason: "HTTP 503" } },
  ]);
  await program.own.stop();
  await program.open();
  // The first look may come before the start.
  program.own.begin("poll", about, "HTTP 503");
  await program.start();
  program.own.begin("poll", about, "HTTP 503");
  assert.equal((await program.events()).length, 1);
  program.own.end("poll", about);
  program.own.end("poll", about);
  assert.deepEqual((await program.events()).map(({ type }) => type), [
    "whenthen.poll.failed",
    "whenthen.poll.recovered",
  ]);
  program.own.begin("capped", { rule: "gone", trigger: "poll" }, "too many");
  program.own.forget("capped", ({ rule }) => rule !== "gone");
  await program.events();
  assert.deepEqual([...(await program.store.listConditions()).keys()], []);
  await program[Symbol.asyncDispose]();
});

Deno.test("a full store is told although it takes no other events, and when there is room again", async () => {
  await using program = await new Program([listener("ops/alert", "whenthen.store.full")]).open();
  await program.start();
  const publish = (id: string) => program.ingest.publish({ id, source: "/test", type: "other", data: null });
  program.store.retain({ ...RETENTION, live: 1 });
  await assert.rejects(publish("e1"), /full/);
  await assert.rejects(publish("e2"), /full/);
  assert.deepEqual((await program.events()).map(({ type }) => type), ["whenthen.store.full"]);
  program.store.retain(RETENTION);
  await publish("e3");
  await settle();
  await program.own.settle();
  assert.equal((await program.store.listConditions()).size, 0);
});

Deno.test("an own event ends a wait for it, though no rule listens", async () => {
  await using program = await new Program([]).open();
  await program.start();
  const { runs: [run] } = await send(program.store, "e1");
  await program.store.claimRuns("me", 1, NOW);
  const record = { path: "back", kind: "waitFor", state: "waiting" as const, attempts: 1, startedAt: NOW };
  const wait = { kind: "event" as const, types: ["whenthen.poll.recovered"], match: { subject: "shop/stock" } };
  await program.store.recordStep(run, record, { wait }, NOW);
  program.own.begin("poll", { rule: "shop/stock", trigger: "poll" }, "HTTP 503");
  program.own.end("poll", { rule: "shop/stock", trigger: "poll" });
  await program.own.settle();
  assert.equal((await program.store.getRun(run))?.steps[0].state, "succeeded");
});

/** Starts one of several programs that share a store; the first one decides. */
async function startReplica(place: SharedPlace, rules: Rule[]): Promise<Program> {
  const { store, id } = await place.start();
  const program = await new Program(rules).openOn(store);
  store.watch(({ tables }) => program.own.changed(tables));
  await program.own.start((message) => program.failures.push(message), { decides: place.holder === id });
  return program;
}

Deno.test("a condition that one replica notices is told once, and the others know when it is over", async () => {
  const place = new SharedPlace();
  const rules = [listener("ops/alert", "whenthen.connection.lost")];
  const decider = await startReplica(place, rules);
  const follower = await startReplica(place, rules);
  const about = { connection: "asana" };
  const knows = async (program: Program, isSo: boolean) => {
    while ((program.own.since("connection", about) !== undefined) !== isSo) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  follower.own.begin("connection", about, "revoked");
  await knows(decider, true);
  decider.own.begin("connection", about, "revoked");
  const told = async () => (await decider.events()).map(({ type, subject }) => [type, subject]);
  assert.deepEqual(await told(), [["whenthen.connection.lost", "asana"]]);
  // It is connected again at the other one.
  decider.own.end("connection", about);
  await knows(follower, false);
  follower.own.begin("connection", about, "revoked again");
  await knows(decider, true);
  assert.equal((await told()).length, 2);
  await follower[Symbol.asyncDispose]();
  await decider[Symbol.asyncDispose]();
});

Deno.test("a store that was full for a replica that has ended: the next event that another one accepts ends that", async () => {
  const place = new SharedPlace();
  const decider = await startReplica(place, []);
  const follower = await startReplica(place, []);
  const publish = (program: Program, id: string) =>
    program.ingest.publish({ id, source: "/test", type: "other", data: null });
  await publish(decider, "e1");
  follower.own.begin("full", STORE, "Nobody decides at the moment");
  while (decider.own.since("full", STORE) === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  await follower[Symbol.asyncDispose]();
  await publish(decider, "e2");
  await decider.own.settle();
  assert.deepEqual([...(await decider.store.listConditions()).keys()], []);
  await decider[Symbol.asyncDispose]();
});

Deno.test("a power cut at any time leaves the inventory, the state and the events of a device as one: none without the other", async () => {
  const key = { rule: "plant", trigger: "devices" };
  const rules = [listener("ops/alert", "whenthen.device.*")];
  // What is on the disk before each sync, and at the end.
  const disks: FaultyDisk[] = [];
  {
    await using program = await new Program(rules).open();
    program.disk.beforeSync = () => void disks.push(program.disk.copy());
    const log = new DeviceLog("plant", {
      store: program.store,
      clock: program.clock,
      maskJson: (value) => value,
      onFailure: (message) => program.failures.push(message),
    });
    const row = { since: NOW, again: NOW + 60_000, failures: 2, error: "no answer" };
    await log.progress({ ...key, baseline: { put: [["a", {}], ["b", {}]], remove: [] } }, ["a", "b"], []);
    log.add("dead", "a", { error: "no answer" }, { ...row, state: "dead" });
    await log.settled();
    log.add("init.error", "b", { error: "no route" }, { ...row, state: "failed" });
    await log.settled();
    await program.own.settle();
    await log.progress({ ...key, baseline: { put: [], remove: ["a"] } }, [], ["a"]);
    await program.own.settle();
    disks.push(program.disk.copy());
  }
  const seen = new Set<string>();
  for (const [index, disk] of disks.entries()) {
    await using program = await new Program(rules).openOn(await open({ disk }));
    const { store } = program;
    const subjects = async (type: string) => {
      const accepted = (await store.listEvents({ limit: 100 })).map(({ event }) => event);
      const told = [...accepted, ...await store.listNotices(100)];
      return told.filter((each) => each.type === `whenthen.device.${type}`).map(({ subject }) => subject!).sort();
    };
    const [added, dead, failed, removed] = await Promise.all(["added", "dead", "init.error", "removed"].map(subjects));
    const told = `added ${added}; dead ${dead}; failed ${failed}; removed ${removed}`;
    const here = (names: string[]) => names.filter((name) => !removed.includes(name)).sort();
    assert.deepEqual([...(await store.getBaseline(key, 9)).keys()], here(added), `cut ${index}: ${told}`);
    assert.deepEqual(
      [...(await store.listStopped("plant")).keys()],
      here([...dead, ...failed]),
      `cut ${index}: ${told}`,
    );
    seen.add(told);
    await program.start();
    const events = (await program.events()).map(({ type, subject }) => `${type} ${subject}`);
    assert.equal(new Set(events).size, events.length, "each is told once");
    assert.equal(events.length, [...added, ...dead, ...failed, ...removed].length);
    assert.deepEqual(await store.listNotices(9), []);
  }
  assert.deepEqual([...seen], [
    "added a,b; dead ; failed ; removed ",
    "added a,b; dead a; failed ; removed ",
    "added a,b; dead a; failed b; removed ",
    "added a,b; dead a; failed b; removed a",
  ]);
});
