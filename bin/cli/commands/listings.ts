import { type Command, Option } from "commander";
import { RUN_STATES } from "../../../runtime/model/run.ts";
import { printEvents, printRules, printRuns, printWaits } from "../print/listings.ts";
import { printTrace } from "../print/trace.ts";
import { addCommand, type CommonOptions, limitOption, type Session, show } from "../session.ts";

interface EventsOptions {
  type?: string;
  rule?: string;
  subject?: string;
  limit: number;
}

interface RunsOptions {
  rule?: string;
  subject?: string;
  state?: string;
  waiting?: true;
  limit: number;
}

/** `rules`, `events`, `runs` and `show`: what there is, and what happened to it. */
export function addListings(program: Command, session: Session): void {
  addCommand(program, "rules", "the rules, how often each ran, and what is wrong with it")
    .action((_options, command: Command) => {
      return show(session, command.optsWithGlobals(), "/api/rules", printRules);
    });

  addCommand(program, "events", "the last events and what each rule made of them")
    .option("--type <type>", "only events of this type")
    .option("--rule <rule>", "only events that concerned this rule")
    .option("--subject <subject>", "only events about this: an item's key, an order")
    .addOption(limitOption())
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & EventsOptions>();
      const { type, rule, subject, limit } = options;
      return show(session, options, "/api/events", printEvents, { type, rule, subject, limit: String(limit) });
    });

  addCommand(program, "runs", "the last runs and how they ended")
    .option("--rule <rule>", "only runs of this rule")
    .option("--subject <subject>", "only runs on events about this")
    .addOption(new Option("--state <state>", "only runs in this state").choices(RUN_STATES))
    .option("--waiting", "only runs with steps that wait: what each waits for, since when and until when")
    .addOption(limitOption())
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & RunsOptions>();
      const { rule, subject, state, waiting, limit } = options;
      const query = { rule, subject, state, waiting: waiting && "true", limit: String(limit) };
      return show(session, options, "/api/runs", waiting ? printWaits : printRuns, query);
    });

  addCommand(program, "show", "one run: its event, its verdict, and each step with input, output and errors")
    .argument("<run>", "id of a run")
    .action((run: string, _options, command: Command) => {
      return show(session, command.optsWithGlobals(), `/api/runs/${encodeURIComponent(run)}`, printTrace);
    });
}
