import { FolderLostError } from "../host/lock.ts";
import { newId } from "../model/id.ts";
import type { Sql } from "./connection.ts";

/** Milliseconds between two signs of life of the program that holds the lease, and between two looks of those that wait. */
const BEAT = 500;
const LOOK = 250;
/** Without a sign of life for this long, by the clock of the one who looks, the holder counts as dead. */
const DEAD = 3_000;

/** What to do while another program holds the lease. */
export interface LeaseOptions {
  /** Ends the waiting. */
  signal?: AbortSignal;
  /**
   * Called at each look that finds it held. What it throws ends the waiting.
   * @param isAlive whether the holder has given a sign of life since the first look
   */
  onHeld: (isAlive: boolean) => void;
}

/**
 * Takes over the database when no other program works on it: the last one has handed it over, or counts as dead.
 * @throws the signal's reason, or what `onHeld` throws
 */
export async function takeLease(sql: Sql, { signal, onHeld }: LeaseOptions): Promise<Lease> {
  const me = newId(Date.now());
  let seen: string | undefined;
  let since = performance.now();
  for (let changes = 0;;) {
    signal?.throwIfAborted();
    const seenNow = await lookAt(sql, signal !== undefined);
    // While the database cannot be reached, the holder cannot give a sign of life either.
    if (seenNow === undefined) {
      since = performance.now();
      continue;
    }
    const { epoch, beat, holder } = seenNow;
    // The answer to its own take-over was lost.
    if (holder === me) return new Lease(sql, epoch);
    if (`${epoch} ${beat}` !== seen) {
      if (seen !== undefined) changes++;
      [seen, since] = [`${epoch} ${beat}`, performance.now()];
    }
    if (holder === null || performance.now() - since > DEAD) {
      const taken = await takeOver(sql, [me, epoch, beat], signal !== undefined);
      if (taken !== undefined) return new Lease(sql, taken);
      continue;
    }
    onHeld(changes > 0);
    await pause(LOOK);
  }
}

interface LeaseRow {
  epoch: string;
  beat: string;
  holder: string | null;
}

/** @returns undefined, after a moment, if the database cannot be reached and this waits for it */
async function lookAt(sql: Sql, isWaiting: boolean): Promise<LeaseRow | undefined> {
  try {
    const [row] = await sql.unsafe<LeaseRow[]>("select epoch::text, beat::text, holder from whenthen.lease");
    return row;
  } catch (error) {
    if (!isWaiting) throw error;
    await pause(LOOK);
  }
}

/** @returns the new epoch; undefined if another program was faster, or that is not known */
async function takeOver(sql: Sql, values: string[], isWaiting: boolean): Promise<string | undefined> {
  try {
    const [row] = await sql.unsafe(
      "update whenthen.lease set epoch = epoch + 1, beat = beat + 1, holder = $1 " +
        "where epoch = $2::bigint and beat = $3::bigint returning epoch::text",
      values,
    );
    return row?.epoch;
  } catch (error) {
    if (!isWaiting) throw error;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Milliseconds that the hand-over may take when the program ends. */
const HAND_OVER = 2_000;

/** Milliseconds that the database may take for one answer. Another program may have taken over long before. */
const SILENT = 10_000;

/** This program's right to change the database. Each change names its epoch, which ends when another program takes over. */
export class Lease {
  #lost: FolderLostError | undefined;
  readonly #beats: ReturnType<typeof setInterval>;
  /** When the sign of life was sent that has no answer yet. */
  #sentAt: number | undefined;

  constructor(private readonly sql: Sql, readonly epoch: string) {
    this.#beats = setInterval(() => void this.#beat(), BEAT);
  }

  /** Set from when it is known that another program has taken over. */
  get lost(): FolderLostError | undefined {
    return this.#lost;
  }

  /** @throws FolderLostError if another program has taken over */
  assertHeld(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Another program has taken over. @throws FolderLostError */
  lose(why = "Another whenthen has taken over the database"): never {
    clearInterval(this.#beats);
    this.#lost ??= new FolderLostError(why);
    throw this.#lost;
  }

  /** Hands it over: a program that waits takes it at its next look. */
  async release(): Promise<void> {
    clearInterval(this.#beats);
    const handed = this.sql.unsafe("update whenthen.lease set holder = null where epoch = $1::bigint", [this.epoch]);
    await Promise.race([handed, pause(HAND_OVER)]);
  }

  /** A database that cannot be reached may come back; one that does not answer may have let another program take over. */
  async #beat(): Promise<void> {
    try {
      if (this.#sentAt === undefined) await this.#send();
      else if (performance.now() - this.#sentAt > SILENT) {
        // What waits for an answer fails.
        void this.sql.end({ timeout: 0 });
        this.lose("The database has not answered for 10 s");
      }
    } catch {
      // It is repeated. That the lease is lost, those find who need it.
    }
  }

  async #send(): Promise<void> {
    this.#sentAt = performance.now();
    try {
      const update = "update whenthen.lease set beat = beat + 1 where epoch = $1::bigint returning 1";
      const held = await this.sql.unsafe(update, [this.epoch]);
      if (held.length === 0) this.lose();
    } finally {
      this.#sentAt = undefined;
    }
  }
}
