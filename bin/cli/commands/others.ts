import type { Command } from "commander";
import { addCheck, addTest } from "./check.ts";
import { addCommands } from "./commands.ts";
import { addCompletion } from "./completion.ts";
import { addConnections, addHooks } from "./connections.ts";
import { addDevices } from "./devices.ts";
import { addForms } from "./forms.ts";
import { addHealth } from "./health.ts";
import { addInit, addLicenses, addSchema } from "./init.ts";
import { addListings } from "./listings.ts";
import { addMoveData } from "./move_data.ts";
import { addConfig, addOperations } from "./operations.ts";
import { addPack } from "./pack.ts";
import { addPeople } from "./people.ts";
import { addReplicas } from "./replicas.ts";
import { addOnce } from "./run.ts";
import { addEmit, addStart } from "./start.ts";
import { addTry } from "./try.ts";
import type { Session } from "../session.ts";

/** Adds all commands but `run`. */
export function addOthers(program: Command, session: Session): void {
  addOnce(program, session);
  addCheck(program, session);
  addTest(program, session);
  addTry(program, session);
  addEmit(program, session);
  addStart(program, session);
  addListings(program, session);
  addConfig(program, session);
  addCommands(program, session);
  addOperations(program, session);
  addConnections(program, session);
  addDevices(program, session);
  addForms(program, session);
  addHooks(program, session);
  addPeople(program, session);
  addInit(program, session);
  addSchema(program, session);
  addMoveData(program, session);
  addReplicas(program, session);
  addPack(program, session);
  addHealth(program, session);
  addCompletion(program, session);
  addLicenses(program, session);
}
