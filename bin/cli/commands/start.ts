import type { Command } from "commander";
import type { JsonObject } from "../../../runtime/model/json.ts";
import type { Startable, StartAnswer } from "../../../runtime/web/start.ts";
import { readGiven, valuesOf } from "../given_values.ts";
import { verdictColour, verdictSentence } from "../print/listings.ts";
import { oneLine, paint } from "../print/terminal.ts";
import { ask, type CommonOptions, envOption, jsonOption, logOption, print, type Session } from "../session.ts";
import { operatorName, pathOf } from "./operations.ts";

interface StartOptions extends Omit<CommonOptions, "data"> {
  /** The values as JSON; the global option `--data` (the data folder) goes before the command. */
  data?: string;
  id?: string;
  subject?: string;
}

/** `start`: starts a rule by hand, with its inputs. */
export function addStart(program: Command, session: Session): void {
  program.command("start")
    .description("start a rule by hand")
    .argument("<rule>", "id of a rule")
    .argument("[values...]", "its inputs, such as bits=4096; a name twice is a list")
    .option(
      "--data <json>",
      "the inputs as JSON; for a rule without inputs, the event's data (the data folder goes before the command)",
    )
    .option("--id <id>", "a second start with this id is the first one")
    .option("--subject <text>", "what it is about")
    .addOption(envOption()).addOption(logOption()).addOption(jsonOption())
    .action((rule: string, pairs: string[], options: StartOptions) => {
      const given = readGiven("start", pairs, options.data);
      const common: CommonOptions = { ...options, data: program.opts<CommonOptions>().data };
      return ask(session, common, async (client) => {
        const path = `/api/rules/${pathOf(rule)}/start`;
        const { inputs } = await client.get<Startable>(path);
        const values: JsonObject = "data" in given ? given.data : valuesOf(given.texts, inputs);
        const hasInputs = Object.keys(inputs).length > 0 || "texts" in given;
        const answer = await client.post<StartAnswer>(path, {
          ...hasInputs ? { inputs: values } : { data: values },
          id: options.id,
          subject: options.subject,
          by: operatorName(),
        });
        print(session, common, answer, (terminal) => {
          if (answer.duplicate) terminal.write(`Started before: run ${answer.runs.join(", ") || "none"}\n`);
          for (const { rule, verdict } of answer.verdicts) {
            const line = oneLine(`${rule} ${verdictSentence(verdict, terminal.now)}`);
            terminal.write(paint(terminal, verdictColour(verdict), line) + "\n");
          }
          if (!client.live && answer.runs.length > 0) {
            terminal.write("No whenthen is running here: its runs wait for one\n");
          }
        });
      });
    });
}
