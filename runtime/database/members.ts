import { FolderLostError } from "../host/lock.ts";
import { newId } from "../model/id.ts";
import { Beats, SILENCE } from "./beats.ts";
import { cannotOpen, openConnections } from "./connection.ts";
import type { Sql } from "./pool.ts";
import { DEAD, LOOK } from "./lease.ts";
import type { Right } from "./right.ts";
import { pause, type Wakes } from "./wakes.ts";

/** A replica: one of the programs that work on one database. */
export interface Member {
  id: string;
  /** The name of its host. */
  name: string;
  pid: number;
  /** The version of whenthen. */
  version: string;
  /** Where it answers requests; null if it does not say. */
  address: string | null;
  /** The same for two replicas with the same rules; null before it has loaded any. */
  rules: string | null;
  /** Milliseconds since the epoch, by the clock of the database. */
  startedAt: number;
  /** Whether it is the one that decides. */
  decides: boolean;
  /** Whether it has given a sign of life in the last seconds, by the clock of the database. */
  isAlive: boolean;
  /** The last frame that it has applied. */
  applied: number;
  /** How many frames it has not applied yet. */
  behind: number;
  /** Whether it was declared dead: nothing that it sends counts any more. */
  fenced: boolean;
}

/** The replicas of a database, as one of them sees them. */
export interface Members {
  /** This replica. */
  readonly me: string;
  /** All registered replicas. */
  list(): Promise<Member[]>;
  /** What this replica tells of itself has changed. */
  note(info: Partial<MemberInfo>): Promise<void>;
  /**
   * Only for who decides: calls `onDead` with each replica that has given no sign of life for 3 s, after it was fenced; also with
   * those that a predecessor has fenced and not retired.
   */
  watch(onDead: (id: string) => Promise<void>): { stop(): Promise<void> };
  /** `performance.now()` when the last beat that was answered had been sent. */
  readonly lastBeat: number;
  /** Milliseconds by which the clock of the database is ahead of ours, measured with each beat; half of the round trip is subtracted. */
  readonly clockOffset: number;
}

/**
 * The replicas of a database, for a program that is none of them: it registers nothing and makes no tables. None if there are no
 * tables.
 * @throws UsageError if the database does not answer
 */
export async function readMembers(url: string): Promise<Member[]> {
  const sql = await openConnections(url, { max: 1 });
  try {
    const [{ known }] = await sql.unsafe("select to_regclass('whenthen.replicas') is not null as known");
    return known ? await listMembers(sql) : [];
  } catch (error) {
    throw cannotOpen(url, error, "check the URL");
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function listMembers(sql: Sql): Promise<Member[]> {
  const rows = await sql.unsafe(`
    select r.id, r.applied::text, r.fenced, r.info, extract(epoch from r.started)::text as started,
      clock_timestamp() - r.beaten < interval '${DEAD} milliseconds' as alive,
      exists (select from whenthen.lease where holder = r.id) as decides,
      coalesce((select max(seq) from whenthen.log), 0)::text as newest
    from whenthen.replicas r order by r.started, r.id`);
  return rows.map(({ id, fenced, decides, alive, ...row }) => {
    const { name, pid, version, address, rules = null }: MemberInfo = JSON.parse(row.info);
    const applied = decides ? Number(row.newest) : Number(row.applied);
    const behind = Math.max(0, Number(row.newest) - applied);
    const startedAt = Math.round(Number(row.started) * 1_000);
    return {
      ...{ id, name, pid, version, address, rules, startedAt },
      ...{ decides, isAlive: alive && !fenced, applied, behind, fenced },
    };
  });
}

/** What a replica tells of itself when it registers. */
export type MemberInfo = Pick<Member, "name" | "pid" | "version" | "address" | "rules">;

/** Why a replica is lost that was declared dead. */
const DECLARED_DEAD = `This replica gave no sign of life for ${DEAD / 1_000} s, so its runs went to others`;

/** A look that took longer than this many milliseconds says nothing: the others could not give a sign of life meanwhile either. */
const SLOW = 1_000;

/** How many measurements of the clock of the database count. */
const MEASUREMENTS = 20;

/** A look of the one that decides at the signs of life of another replica. */
interface Sign {
  beat: string;
  /** `performance.now()` when this sign of life was seen for the first time. */
  since: number;
}

/** How a program takes part. */
interface RegistrationOptions {
  /** What the others are told. */
  info: MemberInfo;
  /** The clock that is compared with that of the database. */
  now: () => number;
  /** Called when the database does not answer any more: what waits for an answer must fail. */
  onSilent: () => void;
}

/** This program as one of the replicas of a database. It is registered until {@link Registration.leave}, or until it is declared dead. */
export class Registration implements Members, Right {
  readonly me = newId(Date.now());
  lastBeat = performance.now();
  /** The last frame that it has applied, told with the next sign of life. */
  applied = 0;
  #info: MemberInfo;
  #lost: FolderLostError | undefined;
  #beats: Beats | undefined;
  /** Measurements of the clock of the database, the newest last. */
  #clock: { offset: number; roundTrip: number }[] = [];

  private constructor(private readonly wakes: Wakes, private readonly options: RegistrationOptions) {
    this.#info = options.info;
  }

  static async register(wakes: Wakes, options: RegistrationOptions): Promise<Registration> {
    const registration = new Registration(wakes, options);
    await registration.#begin();
    return registration;
  }

  async #begin(): Promise<void> {
    await this.wakes.sql.unsafe(
      "insert into whenthen.replicas (id, beat, beaten, applied, fenced, started, info) " +
        "values ($1, 0, clock_timestamp(), 0, false, clock_timestamp(), $2)",
      [this.me, JSON.stringify(this.#info)],
    );
    await this.#beat();
    this.#beats = new Beats(() => this.#beat(), () => {
      this.#lost ??= new FolderLostError(SILENCE);
      this.options.onSilent();
    });
  }

  get lost(): FolderLostError | undefined {
    return this.#lost;
  }

  get clockOffset(): number {
    // The less time an answer takes, the better it tells when it was written.
    const [first, ...rest] = this.#clock;
    return rest.reduce((best, next) => (next.roundTrip < best.roundTrip ? next : best), first).offset;
  }

  /** The lock on its row lets nobody declare it dead before the transaction has ended. */
  get proof(): string {
    return `select 1 from whenthen.replicas where id = '${this.me}' and not fenced for share`;
  }

  assertHeld(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  lose(): never {
    this.#beats?.stop();
    this.#lost ??= new FolderLostError(DECLARED_DEAD);
    throw this.#lost;
  }

  async note(info: Partial<MemberInfo>): Promise<void> {
    this.#info = { ...this.#info, ...info };
    const text = JSON.stringify(this.#info);
    await this.wakes.sql.unsafe(`update whenthen.replicas set info = $1 where id = '${this.me}'`, [text]);
  }

  list(): Promise<Member[]> {
    return listMembers(this.wakes.sql);
  }

  watch(onDead: (id: string) => Promise<void>): { stop(): Promise<void> } {
    const stopping = new AbortController();
    const watching = this.#watch(onDead, stopping.signal);
    return {
      async stop() {
        stopping.abort();
        await watching;
      },
    };
  }

  /**
   * Ends orderly. Nothing that this replica sends counts any more; the one that decides takes what it has left, as it does with
   * what a dead one has left, but at once.
   */
  async leave(): Promise<void> {
    this.#beats?.stop();
    await this.wakes.sql.unsafe(`update whenthen.replicas set fenced = true where id = '${this.me}'`);
  }

  async #beat(): Promise<void> {
    // Without notifications everything takes only longer.
    await this.wakes.listen().catch(() => {});
    const [sentAt, sentTime] = [performance.now(), this.options.now()];
    const [row] = await this.wakes.sql.unsafe(
      `update whenthen.replicas set beat = beat + 1, beaten = clock_timestamp(), applied = ${this.applied} ` +
        `where id = '${this.me}' and not fenced returning extract(epoch from clock_timestamp())::text as now`,
    );
    if (row === undefined) this.lose();
    const roundTrip = performance.now() - sentAt;
    this.#clock.push({ offset: Number(row.now) * 1_000 - (sentTime + roundTrip / 2), roundTrip });
    if (this.#clock.length > MEASUREMENTS) this.#clock.shift();
    this.lastBeat = sentAt;
  }

  async #watch(onDead: (id: string) => Promise<void>, signal: AbortSignal): Promise<void> {
    let signs = new Map<string, Sign>();
    while (!signal.aborted && this.#lost === undefined) {
      const look = await this.#look(signs);
      signs = look.signs;
      for (const { id, beat } of look.dead) {
        if (signal.aborted) return;
        try {
          if (beat === undefined || await this.#fence(id, beat)) await this.#retire(id, onDead);
        } catch {
          // The next look finds it again.
        }
      }
      await pause(LOOK, signal);
    }
  }

  /**
   * @param before what the last look saw
   * @returns what this one sees; the replicas without a sign of life since long, with their last one, or without it if they are
   * fenced already
   */
  async #look(before: Map<string, Sign>): Promise<{ signs: Map<string, Sign>; dead: { id: string; beat?: string }[] }> {
    const asked = performance.now();
    const look = `select id, beat::text, fenced from whenthen.replicas where id <> '${this.me}'`;
    const rows = await this.wakes.sql.unsafe(look).catch(() => undefined);
    const now = performance.now();
    const known = rows === undefined || now - asked > SLOW ? undefined : before;
    const signs = new Map<string, Sign>();
    const dead: { id: string; beat?: string }[] = [];
    for (const { id, beat, fenced } of rows ?? []) {
      const last = known?.get(id);
      const sign: Sign = last !== undefined && last.beat === beat ? last : { beat, since: now };
      signs.set(id, sign);
      if (fenced) dead.push({ id });
      else if (asked - sign.since > DEAD) dead.push({ id, beat });
    }
    return { signs, dead };
  }

  /**
   * Waits for a file or a call that the replica is handing in, but not long: our own signs of life wait behind this.
   * @returns false if it has given a sign of life meanwhile
   */
  async #fence(id: string, beat: string): Promise<boolean> {
    const [, fenced] = await this.wakes.sql.unsafe(
      `set local lock_timeout = '${LOOK} ms'; ` +
        `update whenthen.replicas set fenced = true where id = '${id}' and beat = ${beat} returning 1`,
    );
    return (fenced as unknown as unknown[]).length > 0;
  }

  async #retire(id: string, onDead: (id: string) => Promise<void>): Promise<void> {
    await onDead(id);
    await this.wakes.sql.unsafe(
      "with gone as (delete from whenthen.replicas where id = $1 and fenced returning id) " +
        "delete from whenthen.inbox where replica in (select id from gone)",
      [id],
    );
  }
}
