import type { ConnectionListing, ConnectionState } from "../../../runtime/connections/connection.ts";
import type { HandshakeHook } from "../../../runtime/web/hooks_api.ts";
import { type Colour, printTable, relativeTime, type Terminal } from "./terminal.ts";

const COLOURS: Record<ConnectionState, Colour> = {
  connected: "green",
  unconnected: "yellow",
  lost: "red",
  locked: "red",
  unused: "dim",
};

/** Prints connections as a table, with the reason of each state other than `connected`. */
export function printConnections(terminal: Terminal, connections: ConnectionListing[]): void {
  if (connections.length === 0) return terminal.write("No connections: whenthen.yaml has none under connections:\n");
  const rows = connections.map((connection) => [
    connection.name,
    { text: connection.state, colour: COLOURS[connection.state] },
    connection.kind,
    connection.scopes.join(" "),
    expiryOf(connection, terminal.now),
    connection.at === undefined ? "" : `by ${connection.by}, ${relativeTime(connection.at, terminal.now)}`,
    connection.reason ?? "",
  ]);
  printTable(terminal, ["CONNECTION", "STATE", "KIND", "SCOPES", "TOKEN", "CONNECTED", "WHY"], rows);
}

function expiryOf({ kind, state, expiresAt, renews }: ConnectionListing, now: number): string {
  if (kind === "bearer" || state !== "connected") return "";
  if (expiresAt === undefined) return renews ? "renewed when needed" : "does not expire";
  return `${relativeTime(expiresAt, now)}${renews ? ", then renewed" : ""}`;
}

/** Prints webhooks with the ids of their secrets, newest last. */
export function printHooks(terminal: Terminal, hooks: HandshakeHook[]): void {
  if (hooks.length === 0) return terminal.write("No webhook has auth: asana\n");
  const rows = hooks.map(({ rule, path, openUntil, secrets }) => [
    rule,
    path ?? "gone",
    openUntil === undefined ? "closed" : `open, closes ${relativeTime(openUntil, terminal.now)}`,
    secrets.map(({ id, at, readable }) =>
      `${id} (${relativeTime(at, terminal.now)}${readable ? "" : ", sealed with another key"})`
    ).join(", "),
  ]);
  printTable(terminal, ["RULE", "WEBHOOK", "HANDSHAKES", "SECRETS"], rows);
}
