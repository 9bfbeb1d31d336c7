import assert from "node:assert/strict";
import fc from "fast-check";
import { Ledger } from "../../runtime/store/ledger/ledger.ts";
import { type Segment, SegmentLog } from "../../runtime/store/log/segment_log.ts";
import { storeTasks } from "../../runtime/store/tasks.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { FOLDER, NOW } from "./helpers.ts";
import { dump, execute, operation, recoverRows, State } from "./state.ts";

/** A ledger on a disk, whose segments are sealed, folded and merged when a test says so. */
class OnDisk {
  readonly disk = new FaultyDisk();
  readonly state = new State();
  readonly #sealed: Segment[] = [];
  readonly #log = new SegmentLog(0, [], {
    disk: this.disk,
    folder: FOLDER,
    onSealed: (segment) => this.#sealed.push(segment),
    onWarning: assert.fail,
    onRefused: assert.fail,
  });
  readonly #ledger = new Ledger({
    rows: this.state.rows,
    log: this.#log,
    onHistory: (_seq, history) => this.state.remember(history),
  });

  get seq(): number {
    return this.#log.lastSeq;
  }

  add(work: () => void): Promise<void> {
    return this.#ledger.add("change", work);
  }

  seal(): Promise<number> {
    return this.#log.seal();
  }

  /** Folds the oldest segment that is sealed. */
  async fold(): Promise<void> {
    const segment = this.#sealed.shift();
    if (!segment) return;
    await storeTasks.fold(this.disk, FOLDER, segment);
    this.#log.forget(segment);
  }

  async merge(): Promise<void> {
    await storeTasks.merge(this.disk, FOLDER, { now: NOW, retention: 1e12 });
  }
}

/** As in JSON: an undefined property is missing. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

const upkeep = fc.constantFrom("seal", "fold", "merge", "fail", "none", "none", "none", "none", "none");

Deno.test("the state after a replay equals the live state: rows, indexes, counts and identities, after folds and merges", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(operation, upkeep), { minLength: 20, maxLength: 120 }), async (steps) => {
      const store = new OnDisk();
      const { state } = store;
      await store.disk.mkdir(FOLDER);
      const groups = new Map();
      for (const [each, what] of steps) {
        state.now += 500;
        if (what === "fail") {
          const failing = store.add(() => {
            execute(state, each);
            throw new Error("half-way");
          });
          // In the same group.
          await Promise.all([store.add(() => execute(state, each)), assert.rejects(failing, /half-way/)]);
        } else await store.add(() => execute(state, each));
        if (what === "seal" || what === "fold" || what === "merge") await store[what]();
      }
      const cut = store.disk.copy();
      cut.cut();
      const found = await recoverRows(cut);
      assert.equal(found.seq, store.seq);
      assert.deepEqual(plain(dump(found.rows, groups)), plain(dump(state.rows, groups)));
    }),
    { numRuns: 60 },
  );
});

Deno.test("a replay up to any frame gives the state at that frame", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 60 }), fc.nat(), async (operations, where) => {
      const store = new OnDisk();
      const { state } = store;
      await store.disk.mkdir(FOLDER);
      const groups = new Map();
      const states = new Map<number, unknown>([[0, plain(dump(state.rows, groups))]]);
      for (const each of operations) {
        state.now += 500;
        await store.add(() => execute(state, each));
        states.set(store.seq, plain(dump(state.rows, groups)));
      }
      const path = `${FOLDER}/log-000000000001`;
      if (!store.disk.paths().includes(path)) return;
      const bytes = await store.disk.read(path);
      const cut = store.disk.copy();
      cut.put(path, bytes.subarray(0, where % (bytes.length + 1)));
      const found = await recoverRows(cut, () => {});
      assert.deepEqual(plain(dump(found.rows, groups)), states.get(found.seq));
    }),
    { numRuns: 60 },
  );
});
