import type { EventIdentity, Reply } from "../store.ts";
import type { Database } from "./database.ts";

/** The reply recorded for an event. */
export function readReply(database: Database, event: number): Reply | undefined {
  const reply = database.value<string>("SELECT reply FROM replies WHERE event = ?", event);
  return reply === undefined ? undefined : JSON.parse(reply);
}

/** Records a reply unless there is one: the first one stands. @returns whether it was recorded */
export function putReply(database: Database, event: number, reply: Reply): boolean {
  return database.run("INSERT OR IGNORE INTO replies (event, reply) VALUES (?, $reply)", event, reply) > 0;
}

/** The key of the event with an identity. */
export function eventKey(database: Database, { source, id }: EventIdentity): number | undefined {
  return database.value<number>("SELECT event FROM identities WHERE source = ? AND id = ?", source, id);
}
