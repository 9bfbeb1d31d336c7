import type { FolderLock, FolderLostError } from "../host/lock.ts";
import type { Elsewhere } from "../store/elsewhere.ts";
import { connect, shownUrl } from "./connection.ts";
import type { Sql } from "./pool.ts";
import { DatabaseFolder } from "./database_folder.ts";
import { DatabaseLog } from "./database_log.ts";
import { DatabaseExchange } from "./exchange.ts";
import { type Lease, type LeaseOptions, takeFreeLease, takeLease } from "./lease.ts";
import { UPLOADS } from "./kept_files.ts";
import { lockFreeFolder } from "./local_folder.ts";
import { type MemberInfo, type Members, Registration } from "./members.ts";
import { outlast } from "./outlast.ts";
import { StoredFiles } from "./stored_files.ts";
import { Turns } from "./turns.ts";
import { pause, Wakes } from "./wakes.ts";

/** A database that this program works on, as one of its replicas. */
export interface OpenDatabase {
  /** The folder on this machine for its files. */
  path: string;
  /** The lock of that folder. */
  lock: FolderLock;
  folder: DatabaseFolder;
  /** For the store. */
  elsewhere: Elsewhere;
  members: Members;
  /** For work that only one replica does at a time. */
  turns: Turns;
  /** Bytes of all files that came with events, before they are packed. */
  uploadBytes(): Promise<number>;
  /** Set while this program decides. */
  readonly lease: Lease | undefined;
  /**
   * Waits until this program decides. Its folder and {@link elsewhere} then act as those of the one that decides.
   * @param onHeld see {@link LeaseOptions}
   * @throws the signal's reason, or what `onHeld` throws
   */
  decide(signal?: AbortSignal, onHeld?: LeaseOptions["onHeld"]): Promise<Lease>;
  /** Set once this replica was declared dead, or has lost the lease. */
  readonly lost: FolderLostError | undefined;
  /** Hands over the lease, and leaves what this replica has not finished to the others. */
  close(): Promise<void>;
}

/** How to take part. */
export interface DatabaseOptions {
  /** What the others are told. */
  info: MemberInfo;
  /** The clock that is compared with that of the database. @default the system's */
  now?: () => number;
}

/**
 * Connects to a database as a new replica. It decides from the start if no other one does, else it follows.
 * @throws UsageError if the database cannot be used
 */
export async function openDatabase(url: string, { info, now = Date.now }: DatabaseOptions): Promise<OpenDatabase> {
  const sql = await connect(url);
  const wakes = await Wakes.open(url);
  const end = async (timeout: number) => void await Promise.all([sql.end({ timeout }), wakes.sql.end({ timeout })]);
  let lock: FolderLock | undefined;
  let members: Registration | undefined;
  try {
    const place = await lockFreeFolder(url);
    lock = place.lock;
    const onSilent = () => void end(0);
    // Before anything is loaded: from now on what it has to load stays.
    members = await Registration.register(wakes, { info, now, onSilent });
    const lease = await takeFreeLease(wakes.sql, { me: members.me, onSilent });
    return new Database({ url, sql, wakes, members, onSilent, end, ...place }, lease);
  } catch (error) {
    await members?.leave().catch(() => {});
    lock?.release();
    await end(1);
    throw error;
  }
}

interface DatabaseParts {
  url: string;
  sql: Sql;
  wakes: Wakes;
  members: Registration;
  path: string;
  lock: FolderLock;
  onSilent: () => void;
  /** Ends all connections. @param timeout seconds for what waits for an answer */
  end(timeout: number): Promise<void>;
}

class Database implements OpenDatabase {
  readonly path: string;
  readonly lock: FolderLock;
  readonly members: Registration;
  readonly folder: DatabaseFolder;
  readonly elsewhere: Elsewhere;
  readonly turns: Turns;
  readonly #exchange: DatabaseExchange;
  /** Removes copies that nobody needs. */
  readonly #tidying: ReturnType<typeof setInterval>;

  constructor(private readonly parts: DatabaseParts, public lease: Lease | undefined) {
    const { url, sql, wakes, members, path, lock } = parts;
    [this.path, this.lock, this.members] = [path, lock, members];
    this.turns = new Turns(sql, members.me, members);
    const log = new DatabaseLog(sql, () => this.lease);
    const files = new StoredFiles(sql, () => this.lease ?? members);
    const folder = this.folder = new DatabaseFolder(path, files, log, () => this.lease !== undefined);
    const exchange = this.#exchange = new DatabaseExchange({ sql, wakes, log, members, lost: () => this.lost });
    this.elsewhere = {
      name: `the database ${shownUrl(url)}`,
      append: (seq, frame) => log.append(seq, frame),
      publish: (uploaded) => folder.publishStore(uploaded),
      fetch: (part) => folder.fetch(part),
      fetchStore: (task) => folder.fetchStore(task),
      prepareFold: (task, signal) => folder.prepareFold(task, signal),
      upload: (signal) => folder.uploadStore(signal),
      outlast: (work, outage) => outlast(sql, () => this.lease ?? members, work, outage),
      exchange,
    };
    // The next time does it, too.
    this.#tidying = setInterval(() => void folder.tidy().catch(() => {}), TIDYING);
  }

  get lost(): FolderLostError | undefined {
    return this.lease?.lost ?? this.members.lost;
  }

  async uploadBytes(): Promise<number> {
    const sum = `select coalesce(sum(bytes), 0)::text as bytes from whenthen.files where path like '${UPLOADS}/%'`;
    const [{ bytes }] = await this.parts.sql.unsafe(sum);
    return Number(bytes);
  }

  async decide(signal?: AbortSignal, onHeld: LeaseOptions["onHeld"] = () => {}): Promise<Lease> {
    const { wakes, members: { me }, onSilent } = this.parts;
    let heard = wakes.count("lease");
    const wait = async (ms: number) => {
      await wakes.wait("lease", heard, ms, signal);
      heard = wakes.count("lease");
    };
    const options = { me, onSilent, onHeld, wait, ...signal && { signal } };
    return this.lease ??= await takeLease(wakes.sql, options);
  }

  async close(): Promise<void> {
    clearInterval(this.#tidying);
    const handed = new AbortController();
    // What cannot be handed over, others take after some seconds.
    await Promise.race([this.#handOver().finally(() => handed.abort()), pause(HAND_OVER, handed.signal)]);
    this.lock.release();
    await this.parts.end(1);
  }

  async #handOver(): Promise<void> {
    await this.#exchange.close().catch(() => {});
    await this.lease?.release().catch(() => {});
    await this.members.leave().catch(() => {});
  }
}

/** Milliseconds between two looks for files that nobody needs. */
const TIDYING = 3_600_000;
/** Milliseconds that the hand-over may take: a database that does not answer must not keep the program from ending. */
const HAND_OVER = 3_000;
