import type { Command } from "commander";
import type { ReplicaListing } from "../../../runtime/web/replicas.ts";
import { clientOfRunning } from "../client.ts";
import { DATA, placeOf } from "../folders.ts";
import { type Colour, printTable, relativeTime, type Terminal } from "../print/terminal.ts";
import { type CommonOptions, dataOption, jsonOption, logOption, print, type Session } from "../session.ts";
import { startLog } from "../start_log.ts";

const COLOURS: Record<ReplicaListing["state"], Colour> = { alive: "green", silent: "yellow", fenced: "dim" };

/** `replicas`: the programs that work on a database. It needs no rules, and starts nothing. */
export function addReplicas(program: Command, session: Session): void {
  program.command("replicas").description(
    "the programs that share a database: who decides, who is alive, how far behind each is",
  )
    .addOption(dataOption()).addOption(logOption()).addOption(jsonOption())
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      await startLog(options.log, "warning");
      const { data, database } = placeOf(options.data ?? DATA);
      if (database === undefined) {
        return print(session, options, [], (terminal) => {
          terminal.write(
            `The data folder ${data} has one program. Several share a database: start each with --data postgres://…\n`,
          );
        });
      }
      print(session, options, await replicasOf(data, database), printReplicas);
    });
}

/** Asks the program on this machine; if none runs here, the database. */
async function replicasOf(data: string, database: string): Promise<ReplicaListing[]> {
  const running = await clientOfRunning(data);
  if (running !== undefined) return await running.get<ReplicaListing[]>("/api/replicas");
  const { readMembers } = await import("../../../runtime/database/members.ts");
  const { listingOf } = await import("../../../runtime/web/replicas.ts");
  return listingOf(await readMembers(database));
}

function printReplicas(terminal: Terminal, replicas: ReplicaListing[]): void {
  if (replicas.length === 0) return terminal.write("No program works on the database\n");
  const rows = replicas.map(({ id, host, pid, version, startedAt, address, rules, decides, state, behind }) => [
    id,
    { text: state, colour: COLOURS[state] },
    decides ? "decides" : "follows",
    host,
    String(pid),
    version,
    rules ?? "",
    relativeTime(startedAt, terminal.now),
    address ?? "",
    String(behind),
  ]);
  printTable(
    terminal,
    ["REPLICA", "STATE", "ROLE", "HOST", "PID", "VERSION", "RULES", "SINCE", "ADDRESS", "BEHIND"],
    rows,
  );
}
