import { setTimeout as sleep } from "node:timers/promises";
import { FolderLostError } from "../host/lock.ts";
import { newId } from "../model/id.ts";
import { Beats, SILENCE } from "./beats.ts";
import type { Sql } from "./pool.ts";
import type { Right } from "./right.ts";
import { announcement } from "./wakes.ts";

/** Milliseconds between two looks at the signs of life of others. */
export const LOOK = 250;
/** Without a sign of life for this many milliseconds, by the clock of the one who looks, a program counts as dead. */
export const DEAD = 3_000;

/** What to do while another program holds the lease. */
export interface LeaseOptions {
  /** The replica that wants it. @default a program that is no replica */
  me?: string;
  /** Called when the database does not answer any more: what waits for an answer must fail. @default ends the connections */
  onSilent?: () => void;
  /** Ends the waiting. */
  signal?: AbortSignal;
  /** Waits until the holder says that it hands the lease over, at most so many milliseconds. @default for the whole time */
  wait?: (ms: number) => Promise<void>;
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
export async function takeLease(sql: Sql, options: LeaseOptions): Promise<Lease> {
  const { me = newId(Date.now()), signal, wait = sleep, onHeld, onSilent } = options;
  const isWaiting = signal !== undefined;
  let seen: string | undefined;
  let since = performance.now();
  for (let changes = 0;;) {
    signal?.throwIfAborted();
    const seenNow = await lookAt(sql, isWaiting);
    // While the database cannot be reached, the holder cannot give a sign of life either.
    if (seenNow === undefined) {
      since = performance.now();
      continue;
    }
    const { epoch, beat, holder } = seenNow;
    // The answer to its own take-over was lost.
    if (holder === me) return new Lease(sql, epoch, onSilent);
    if (`${epoch} ${beat}` !== seen) {
      if (seen !== undefined) changes++;
      [seen, since] = [`${epoch} ${beat}`, performance.now()];
    }
    if (holder === null || performance.now() - since > DEAD) {
      const taken = await leavesIt(sql, me, isWaiting)
        ? undefined
        : await takeOver(sql, [me, epoch, beat, holder ?? ""], isWaiting);
      if (taken !== undefined) return new Lease(sql, taken, onSilent);
    } else {
      onHeld(changes > 0);
    }
    await wait(LOOK);
  }
}

interface LeaseRow {
  epoch: string;
  beat: string;
  holder: string | null;
}

/** Takes the lease if no program holds it at this moment, and none that should have it instead waits for it. */
export async function takeFreeLease(
  sql: Sql,
  { me, onSilent }: Required<Pick<LeaseOptions, "me" | "onSilent">>,
): Promise<Lease | undefined> {
  const { epoch, beat, holder } = (await lookAt(sql, false))!;
  if (holder !== null || await leavesIt(sql, me, false)) return undefined;
  const taken = await takeOver(sql, [me, epoch, beat, ""], false);
  return taken === undefined ? undefined : new Lease(sql, taken, onSilent);
}

const OTHERS = `
  select from whenthen.replicas other join whenthen.replicas mine on mine.id = $1 and mine.id <> other.id
  where mine.info::json->>'address' is null and other.info::json->>'address' is not null
    and not other.fenced and clock_timestamp() - other.beaten < interval '${DEAD} milliseconds'`;

/**
 * Whether another replica should have the lease instead: this one is still starting and has not announced its address, and the other one
 * has. So that one has loaded everything, and its rules are in force.
 */
async function leavesIt(sql: Sql, me: string, isWaiting: boolean): Promise<boolean> {
  try {
    return (await sql.unsafe(OTHERS, [me])).length > 0;
  } catch (error) {
    if (!isWaiting) throw error;
    return true;
  }
}

/** @returns undefined, after a moment, if the database cannot be reached and this waits for it */
async function lookAt(sql: Sql, isWaiting: boolean): Promise<LeaseRow | undefined> {
  try {
    const [row] = await sql.unsafe<LeaseRow[]>("select epoch::text, beat::text, holder from whenthen.lease");
    return row;
  } catch (error) {
    if (!isWaiting) throw error;
    await sleep(LOOK);
  }
}

/** Together with the lease, the one that had it loses its voice: see `members.ts`. */
const TAKE_OVER = `
  with taken as (
    update whenthen.lease set epoch = epoch + 1, beat = beat + 1, holder = $1
    where epoch = $2::bigint and beat = $3::bigint
      and not exists (select from whenthen.replicas where id = $1 and fenced) returning epoch::text
  ), fenced as (
    update whenthen.replicas set fenced = true where id = $4 and exists (select from taken)
  )
  select epoch from taken`;

/** @returns the new epoch; undefined if another program was faster, or that is not known */
async function takeOver(sql: Sql, values: string[], isWaiting: boolean): Promise<string | undefined> {
  try {
    const [row] = await sql.unsafe(TAKE_OVER, values);
    return row?.epoch;
  } catch (error) {
    if (!isWaiting) throw error;
  }
}

/** Milliseconds that the hand-over may take when the program ends. */
const HAND_OVER = 2_000;

/** This program's right to change the database. Each change names its epoch, which ends when another program takes over. */
export class Lease implements Right {
  #lost: FolderLostError | undefined;
  readonly #beats: Beats;

  /** @param sql also for its signs of life: these must not wait behind long work */
  constructor(private readonly sql: Sql, readonly epoch: string, onSilent?: () => void) {
    this.#beats = new Beats(() => this.#send(), () => {
      this.#lost ??= new FolderLostError(SILENCE);
      if (onSilent) onSilent();
      else void sql.end({ timeout: 0 });
    });
  }

  /** Set from when it is known that another program has taken over. */
  get lost(): FolderLostError | undefined {
    return this.#lost;
  }

  get proof(): string {
    return `update whenthen.lease set beat = beat + 1 where epoch = ${this.epoch} returning 1`;
  }

  /** @throws FolderLostError if another program has taken over */
  assertHeld(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Another program has taken over. @throws FolderLostError */
  lose(): never {
    this.#beats.stop();
    this.#lost ??= new FolderLostError("Another whenthen has taken over the database");
    throw this.#lost;
  }

  /** Hands it over: a program that waits takes it at once. */
  async release(): Promise<void> {
    this.#beats.stop();
    const free = "update whenthen.lease set holder = null where epoch = $1::bigint returning 1";
    const handed = this.sql.askBoth(free, [this.epoch], announcement("lease"));
    await Promise.race([handed, sleep(HAND_OVER)]);
  }

  async #send(): Promise<void> {
    if ((await this.sql.unsafe(this.proof)).length === 0) this.lose();
  }
}
