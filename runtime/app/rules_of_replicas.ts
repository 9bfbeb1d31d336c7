import { createHash } from "node:crypto";
import type { Member } from "../database/members.ts";

/** Milliseconds for which replicas may have different rules without a warning: while the folders of all of them are updated. */
const UPDATE = 60_000;

/** A short hash of rules and their versions: the same for two replicas with the same rules. */
export function versionOf(rules: ReadonlyMap<string, { version: string }>): string {
  const hash = createHash("sha256");
  for (const id of [...rules.keys()].sort()) hash.update(JSON.stringify([id, rules.get(id)!.version]));
  return hash.digest("hex").slice(0, 8);
}

/** Warns if another replica has had different rules for a minute: each has a folder of its own. */
export class RulesOfReplicas {
  /** When a difference was seen first, by what differs; `Infinity` once it was told. */
  #differences = new Map<string, number>();

  constructor(private readonly me: string, private readonly onWarning: (message: string) => void) {}

  /**
   * @param alive the replicas that are alive
   * @param now milliseconds of a monotonic clock
   */
  compare(alive: Pick<Member, "id" | "name" | "rules">[], now: number): void {
    const before = this.#differences;
    this.#differences = new Map();
    const mine = alive.find(({ id }) => id === this.me)?.rules;
    if (mine === undefined || mine === null) return;
    for (const { id, name, rules } of alive) {
      if (rules === null || rules === mine) continue;
      const difference = `${id} ${rules} ${mine}`;
      const since = before.get(difference) ?? now;
      const isDue = now - since >= UPDATE;
      this.#differences.set(difference, isDue ? Infinity : since);
      if (!isDue) continue;
      this.onWarning(
        `Replica ${id} on ${name} has had other rules than this one for ${
          UPDATE / 1_000
        } s: an event is matched with the rules of ` +
          "the replica that takes it, and polls, cron and watch use those of the one that decides; give all of them the same folder",
      );
    }
  }
}
