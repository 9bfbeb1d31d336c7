import { type Command, Option } from "commander";
import { UsageError } from "../../../runtime/model/errors.ts";
import type { JsonObject } from "../../../runtime/model/json.ts";
import type { EmitAnswer } from "../../../runtime/web/api.ts";
import type { Startable, StartAnswer } from "../../../runtime/web/rules_api.ts";
import { type Client, operatorName, pathOf } from "../client.ts";
import { readData, readGiven, valuesOf } from "../given_values.ts";
import { verdictColour, verdictSentence } from "../print/listings.ts";
import { oneLine, paint, type Terminal } from "../print/terminal.ts";
import {
  ask,
  type CommonOptions,
  envOption,
  folderOption,
  jsonOption,
  logOption,
  print,
  type Session,
} from "../session.ts";

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
    .addOption(folderOption()).addOption(envOption()).addOption(logOption()).addOption(jsonOption())
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
          printVerdicts(terminal, answer.verdicts, "");
          if (answer.runs.length > 0) noteWaitingRuns(terminal, client);
        });
      });
    });
}

interface EmitOptions extends Omit<CommonOptions, "data"> {
  /** The event's data as JSON; the global option `--data` (the data folder) goes before the command. */
  data?: string;
  id?: string;
  subject?: string;
  rule?: string;
}

/** `emit`: sends an event. */
export function addEmit(program: Command, session: Session): void {
  program.command("emit")
    .description("send an event to the rules that listen to its type")
    .argument("[type]", "type of the event, such as order.created")
    .option("--data <json>", "the event's data (the data folder goes before the command: whenthen --data DIR emit …)")
    .option("--id <id>", "the event's id; a second event with it is a duplicate")
    .option("--subject <text>", "the event's subject")
    .addOption(new Option("--rule <rule>").hideHelp())
    .addOption(folderOption()).addOption(envOption()).addOption(logOption()).addOption(jsonOption())
    .action((type: string | undefined, options: EmitOptions) => {
      const { id, subject, rule } = options;
      if (rule !== undefined) throw new UsageError(`A rule is started by: whenthen start ${rule} name=value …`);
      if (type === undefined) throw new UsageError("Cannot emit: name the type of an event");
      const event = {
        type,
        data: options.data === undefined ? undefined : readData("emit", options.data),
        id,
        subject,
      };
      const common: CommonOptions = { ...options, data: program.opts<CommonOptions>().data };
      return ask(session, common, async (client) => {
        const answer = await client.post<EmitAnswer>("/api/emit", event);
        print(session, common, answer, (terminal) => {
          printAnswer(terminal, answer);
          if (answer.runs.length + answer.wakes.length > 0) noteWaitingRuns(terminal, client);
        });
      });
    });
}

function printAnswer(terminal: Terminal, { event, duplicate, verdicts, wakes }: EmitAnswer): void {
  if (duplicate) return terminal.write(`Event ${event} is a duplicate, which starts nothing\n`);
  terminal.write(`Event ${event} is accepted\n`);
  if (verdicts.length + wakes.length === 0) {
    terminal.write(paint(terminal, "yellow", "  no rule listens to it, and no run waits for it yet") + "\n");
  }
  printVerdicts(terminal, verdicts, "  ");
  for (const run of wakes) terminal.write(paint(terminal, "green", `  run ${run} was waiting for it`) + "\n");
}

function printVerdicts(terminal: Terminal, verdicts: EmitAnswer["verdicts"], indent: string): void {
  for (const { rule, verdict } of verdicts) {
    const line = oneLine(`${rule} ${verdictSentence(verdict, terminal.now)}`);
    terminal.write(`${indent}${paint(terminal, verdictColour(verdict), line)}\n`);
  }
}

function noteWaitingRuns(terminal: Terminal, { live }: Client): void {
  if (!live) terminal.write("No whenthen is running here: its runs wait for one\n");
}
