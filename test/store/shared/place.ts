import { FolderLostError } from "../../../runtime/host/lock.ts";
import {
  type Batch,
  type Elsewhere,
  type Exchange,
  type LoggedFrame,
  MissingFramesError,
} from "../../../runtime/store/elsewhere.ts";
import type { UploadedFile } from "../../../runtime/store/fold_order.ts";
import { foldedSeq, FORMAT_VERSION, segmentName, sortFiles, superseded } from "../../../runtime/store/log/files.ts";
import { encodeHead } from "../../../runtime/store/log/log_frame.ts";
import { openStore, type StoreOptions } from "../../../runtime/store/open_store.ts";
import type { SharedStore } from "../../../runtime/store/shared_store.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";
import { FOLDER, NOW } from "../helpers.ts";

/** Files that are kept in the place; frames of the log are apart. */
const KEPT = /^(?:base|delta|ids|part)-/;

/** A program that shares the store, with the points at which tests hold or kill it. */
export interface Replica {
  id: string;
  store: SharedStore;
  disk: FaultyDisk;
  elsewhere: Elsewhere;
  warnings: string[];
  /** Awaited before each of these; a promise that stays pending is a program that was killed there. */
  before: {
    send?(): Promise<void> | void;
    append?(): Promise<void> | void;
    tail?(): Promise<void> | void;
    prepareFold?(): Promise<void> | void;
    upload?(): Promise<void> | void;
    publish?(): Promise<void> | void;
  };
  /** The last frame that it has told to have applied. */
  applied: number;
  /** Files of the place that are not on its disk. */
  absent: Set<string>;
  /** Why it must begin anew. */
  lost?: FolderLostError;
}

/** What a shared store is durable in, as a database is: files, frames and the inbox. In memory. */
export class SharedPlace {
  /** The durable frames, in order. */
  frames: LoggedFrame[] = [];
  /** The files, by name. */
  files = new Map<string, Uint8Array>();
  /** What replicas have uploaded, by the name of the content. */
  readonly uploads = new Map<string, Uint8Array>();
  inbox: Batch[] = [];
  /** All that was ever in the inbox. */
  readonly sent: Batch[] = [];
  readonly fenced = new Set<string>();
  /** Who decides. */
  holder = "";
  /** Set to have everything fail. */
  failure: string | undefined;
  /** Set to have no batch received. */
  deaf = false;
  /** Whether decided batches are removed from the inbox. */
  forgets = true;
  /** Whether who decides does so for others from its start. */
  begins = true;
  /** Changes each batch on its way. */
  onSend: (calls: string) => string = (calls) => calls;
  /** Changes each frame on its way. */
  onFrame: (frame: Uint8Array) => Uint8Array = (frame) => frame;
  /** The replicas that fold for the one that decides. */
  folding: (replica: Replica) => boolean = () => true;
  readonly replicas = new Map<string, Replica>();
  #changed = Promise.withResolvers<void>();
  #programs = 0;

  /** Starts a program: the first one decides, the others follow. */
  async start(options: Partial<StoreOptions> = {}, id = `replica${++this.#programs}`): Promise<Replica> {
    const follow = options.follow ?? this.holder !== "";
    if (!follow) this.holder = id;
    const disk = new FaultyDisk();
    const replica = { id, disk, warnings: [], before: {}, applied: 0, absent: new Set() } as unknown as Replica;
    const remove = disk.remove.bind(disk);
    // What is only in the place is removed there.
    disk.remove = (path) => replica.absent.delete(path.slice(FOLDER.length + 1)) ? Promise.resolve() : remove(path);
    replica.elsewhere = this.#elsewhere(replica);
    await this.load(disk);
    replica.store = await openStore({
      folder: FOLDER,
      disk,
      copy: disk,
      now: NOW,
      onWarning: (message) => replica.warnings.push(message),
      onLost: (error) => replica.lost = error,
      ...options,
      elsewhere: replica.elsewhere,
      follow,
    });
    replica.store.listenToOwn({ hasListener: () => false, onNotice() {} });
    if (!follow && this.begins) await replica.store.decideForOthers();
    this.replicas.set(id, replica);
    return replica;
  }

  /** Kills a program: what it was about to do never happens. */
  kill({ id, before }: Replica): void {
    this.fenced.add(id);
    if (this.holder === id) this.holder = "nobody";
    before.send = before.append = before.tail = () => new Promise(() => {});
  }

  /** Makes a program that follows the one that decides. */
  async promote({ id, store, disk }: Replica): Promise<void> {
    this.holder = id;
    await store.promote(() => this.load(disk));
    await store.decideForOthers();
  }

  /** Fills a folder with the files and the log. */
  async load(disk: FaultyDisk): Promise<void> {
    for (const path of disk.paths()) await disk.remove(path);
    for (const [name, bytes] of this.files) await write(disk, name, [bytes]);
    const folded = foldedSeq(sortFiles([...this.files.keys()]));
    const frames = this.frames.filter(({ seq }) => seq > folded).map(({ frame }) => frame);
    if (frames.length > 0) {
      await write(disk, segmentName(folded + 1), [encodeHead(folded + 1, FORMAT_VERSION), ...frames]);
    }
  }

  /** Resolves when something has changed. */
  changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** Wakes who waits for a change. */
  poke(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #elsewhere(replica: Replica): Elsewhere {
    return {
      name: "the shared place",
      append: async (seq, frame) => {
        await replica.before.append?.();
        this.#check(replica);
        if (this.holder !== replica.id) throw new FolderLostError(`${this.holder} has taken over`);
        if (seq !== (this.frames.at(-1)?.seq ?? 0) + 1) throw new FolderLostError(`frame ${seq} does not follow`);
        this.frames.push({ seq, frame: this.onFrame(frame).slice() });
        this.poke();
        await this.#pause();
      },
      publish: async (uploaded = []) => {
        await replica.before.publish?.();
        this.#check(replica);
        if (this.holder !== replica.id) throw new FolderLostError(`${this.holder} has taken over`);
        await this.#publish(replica, uploaded);
      },
      fetch: async (part) => {
        const bytes = this.files.get(part);
        replica.absent.delete(part);
        if (bytes !== undefined && !storeOf(replica).includes(part)) await write(replica.disk, part, [bytes]);
      },
      fetchStore: async () => {
        const here = new Set(storeOf(replica));
        for (const name of this.files.keys()) {
          if (!name.startsWith("part-") && !here.has(name)) await replica.elsewhere.fetch(name);
        }
      },
      prepareFold: async (task) => {
        await replica.before.prepareFold?.();
        this.#check(replica);
        const { disk } = replica;
        for (const name of storeOf(replica)) if (!this.files.has(name)) await disk.remove(`${FOLDER}/${name}`);
        await replica.elsewhere.fetchStore(task.name);
        if (task.name === "merge") return;
        const { name, firstSeq, lastSeq } = task.args;
        const frames = this.frames.filter(({ seq }) => firstSeq <= seq && seq <= lastSeq).map(({ frame }) => frame);
        if (disk.paths().includes(`${FOLDER}/${name}`)) await disk.remove(`${FOLDER}/${name}`);
        await write(disk, name, [encodeHead(firstSeq, FORMAT_VERSION), ...frames]);
      },
      upload: async () => {
        await replica.before.upload?.();
        this.#check(replica);
        const uploaded: UploadedFile[] = [];
        for (const path of storeOf(replica).filter((name) => !this.files.has(name))) {
          const bytes = await replica.disk.read(`${FOLDER}/${path}`);
          const blob = `${replica.id} ${this.uploads.size}`;
          this.uploads.set(blob, bytes);
          uploaded.push({ path, blob, bytes: bytes.length });
        }
        return uploaded;
      },
      outlast: (work) => work(),
      exchange: this.#exchange(replica),
    };
  }

  async #publish(replica: Replica, uploaded: UploadedFile[]): Promise<void> {
    const { disk, absent } = replica;
    for (const { path, blob } of uploaded) {
      this.files.set(path, this.uploads.get(blob)!);
      absent.add(path);
    }
    const here = new Set(storeOf(replica));
    for (const name of superseded(sortFiles([...new Set([...this.files.keys(), ...here])]))) {
      absent.delete(name);
      if (here.delete(name)) await disk.remove(`${FOLDER}/${name}`);
    }
    for (const name of here) this.files.set(name, await disk.read(`${FOLDER}/${name}`));
    for (const name of [...this.files.keys()]) if (!here.has(name) && !absent.has(name)) this.files.delete(name);
  }

  #exchange(replica: Replica): Exchange {
    const { id: me } = replica;
    const beyond = (cursors: ReadonlyMap<string, number>) =>
      this.deaf ? [] : this.inbox.filter(({ replica: id, seq }) => seq > (cursors.get(id) ?? 0));
    return {
      me,
      send: async (seq, calls) => {
        await replica.before.send?.();
        this.#check(replica);
        if (!this.inbox.some((batch) => batch.replica === me && batch.seq === seq)) {
          const batch = { replica: me, seq, calls: this.onSend(calls) };
          this.inbox.push(batch);
          this.sent.push(batch);
        }
        this.poke();
        await this.#pause();
      },
      receive: async (cursors, signal) => {
        this.#check(replica);
        if (beyond(cursors).length === 0) await Promise.race([this.changed(), aborted(signal)]);
        signal.throwIfAborted();
        this.#check(replica);
        return beyond(cursors);
      },
      rest: async (id, cursor) => {
        await this.#pause();
        return this.inbox.filter((batch) => batch.replica === id && batch.seq > cursor);
      },
      forget: async (cursors) => {
        await this.#pause();
        this.#check(replica);
        if (this.forgets) this.inbox = this.inbox.filter(({ replica: id, seq }) => seq > (cursors.get(id) ?? 0));
      },
      tail: (seq, signal) => this.#tail(replica, seq, signal),
      framesAfter: async (seq) => {
        await this.#pause();
        this.#check(replica);
        return this.#framesAfter(seq);
      },
      applied: (seq) => void (replica.applied = seq),
      followers: async () => {
        await this.#pause();
        this.#check(replica);
        return [...this.replicas.values()].filter((one) =>
          one.id !== me && !this.fenced.has(one.id) && this.folding(one)
        );
      },
    };
  }

  async *#tail(replica: Replica, after: number, signal: AbortSignal): AsyncGenerator<LoggedFrame[]> {
    for (let seq = after; !signal.aborted;) {
      await Promise.race([replica.before.tail?.() ?? Promise.resolve(), aborted(signal)]);
      if (signal.aborted) return;
      this.#check(replica);
      const frames = this.#framesAfter(seq);
      if (frames.length === 0) await Promise.race([this.changed(), aborted(signal)]);
      else {
        yield frames;
        seq = frames.at(-1)!.seq;
      }
    }
  }

  #framesAfter(seq: number): LoggedFrame[] {
    const frames = this.frames.slice(Math.max(0, seq + 1 - (this.frames[0]?.seq ?? 1)));
    const newest = this.frames.at(-1)?.seq ?? 0;
    if ((frames[0]?.seq ?? newest + 1) > seq + 1) throw new MissingFramesError(`frame ${seq + 1} is gone`);
    return frames;
  }

  #check({ id }: Replica): void {
    if (this.fenced.has(id)) throw new FolderLostError(`Replica ${id} was fenced`);
    if (this.failure !== undefined) throw new Error(this.failure);
  }

  /** As after each statement of a database. */
  #pause(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}

/** The files of the store on a disk. */
function storeOf({ disk }: Replica): string[] {
  return disk.paths().map((path) => path.slice(FOLDER.length + 1)).filter((name) => KEPT.test(name));
}

async function write(disk: FaultyDisk, name: string, pieces: Uint8Array[]): Promise<void> {
  const file = await disk.create(`${FOLDER}/${name}`);
  for (const piece of pieces) await file.write(piece);
  await file.close();
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
