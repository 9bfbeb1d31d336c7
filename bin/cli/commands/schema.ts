import type { Command } from "commander";
import { ruleJsonSchema } from "../../../runtime/language/checker/json_schema.ts";
import { stepKinds } from "../../../runtime/engine/index.ts";
import { triggerKinds } from "../../../runtime/triggers/index.ts";
import type { Session } from "../session.ts";

/** `schema`: the JSON Schema of rule files. */
export function addSchema(program: Command, session: Session): void {
  program.command("schema").description("print the JSON Schema of rule files, for editors")
    .action(() => session.terminal.write(schemaText()));
}

/** The schema as the text of a file. */
export function schemaText(): string {
  return JSON.stringify(ruleJsonSchema({ triggers: triggerKinds, steps: stepKinds }), null, 2) + "\n";
}
