import type { ConnectionListing, ConnectionState } from "../../../runtime/connections/connection.ts";
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
