import type { Member, Members } from "../database/members.ts";
import { messageOf } from "../model/errors.ts";

/** The replicas of the database that this program works on. */
export type Replicas = Pick<Members, "me" | "list">;

/** `silent`: no sign of life for some seconds. `fenced`: it has ended or was declared dead, so nothing that it sends counts any more. */
export const REPLICA_STATES = ["alive", "silent", "fenced"] as const;
export type ReplicaState = typeof REPLICA_STATES[number];

/** A replica as listings show it. */
export interface ReplicaListing {
  id: string;
  host: string;
  pid: number;
  version: string;
  /** Milliseconds since the epoch. */
  startedAt: number;
  /** Where it answers requests; null if it answers none, or does not yet. */
  address: string | null;
  /** The same for two replicas with the same rules; null before it has loaded any. */
  rules: string | null;
  /** Whether it is the one that decides; the others follow. */
  decides: boolean;
  state: ReplicaState;
  /** How many frames of the log it has not applied yet. */
  behind: number;
}

/** The database did not say which replicas there are. */
export class UnlistedError extends Error {
  override name = "UnlistedError";
}

/** Milliseconds that the database has for the list: a page and a scrape must not wait as long as a write does. */
const PATIENCE = 2_000;

/**
 * The replicas, those first that began first.
 * @throws UnlistedError if the database does not answer within 2 s, or with an error
 */
export async function listReplicas(replicas: Pick<Replicas, "list">): Promise<ReplicaListing[]> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`it has not answered for ${PATIENCE / 1_000} s`)), PATIENCE);
  try {
    return listingOf(await Promise.race([replicas.list(), late.promise]));
  } catch (error) {
    const reason = messageOf(error);
    throw new UnlistedError(`Cannot list the replicas: the database does not tell them: ${reason}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** Registered replicas as listings show them. */
export function listingOf(members: Member[]): ReplicaListing[] {
  return members.map(({ id, name, pid, version, startedAt, address, rules, decides, isAlive, fenced, behind }) => {
    const state: ReplicaState = fenced ? "fenced" : isAlive ? "alive" : "silent";
    return { id, host: name, pid, version, startedAt, address, rules, decides, state, behind };
  });
}
