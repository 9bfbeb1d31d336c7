import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "./pool.ts";
import type { Right } from "./right.ts";

/** Milliseconds between two attempts to take a turn, and between two to give it back while the database cannot be reached. */
const AGAIN = 100;

/**
 * Work that one replica does at a time, such as the renewal of a token: a row for each name, with its holder. Unlike an advisory lock,
 * it needs no connection of its own while the work waits for somebody else, and poolers in transaction mode do not matter. The turns
 * of a replica that was declared dead are free.
 */
export class Turns {
  /** The last turn of each name in this program, until it is given back. */
  readonly #last = new Map<string, Promise<void>>();

  /** @param right that of a replica, which it has as long as nobody declares it dead */
  constructor(private readonly sql: Sql, private readonly me: string, private readonly right: Right) {}

  /**
   * Runs work while no other replica runs any under the same name; waits for its turn.
   * @throws FolderLostError if this replica was declared dead; what `work` throws
   */
  async inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name);
    const free = Promise.withResolvers<void>();
    this.#last.set(name, free.promise);
    try {
      await before;
      await this.#take(name);
      return await work();
    } finally {
      // The result does not wait for it, but the next turn does.
      void this.#giveBack(name).finally(() => {
        free.resolve();
        if (this.#last.get(name) === free.promise) this.#last.delete(name);
      });
    }
  }

  async #take(name: string): Promise<void> {
    const take =
      `with held as (${this.right.proof}) insert into whenthen.turns (name, holder) select $1, $2 from held ` +
      "on conflict (name) do update set holder = excluded.holder where turns.holder = excluded.holder " +
      "or not exists (select from whenthen.replicas r where r.id = turns.holder and not r.fenced) returning 1";
    for (;;) {
      this.right.assertHeld();
      const taken = await this.sql.unsafe(take, [name, this.me]);
      if (taken.length > 0) return;
      await sleep(AGAIN);
    }
  }

  async #giveBack(name: string): Promise<void> {
    const give = "delete from whenthen.turns where name = $1 and holder = $2";
    while (this.right.lost === undefined) {
      const given = await this.sql.unsafe(give, [name, this.me]).catch(() => undefined);
      if (given !== undefined) return;
      await sleep(AGAIN);
    }
  }
}
