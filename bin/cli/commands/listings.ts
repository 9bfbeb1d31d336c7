import type { Command } from "commander";
import { Option } from "commander";
import { type Run, RUN_STATES } from "../../../runtime/model/run.ts";
import type { EventRecord } from "../../../runtime/store/store.ts";
import type { RunAnswer } from "../../../runtime/web/config_api.ts";
import type { RuleListing } from "../../../runtime/web/rules_api.ts";
import { addCommand, ask, type CommonOptions, limitOption, print, type Session } from "../session.ts";
import { printEvents, printRules, printRuns, printWaits } from "../print/listings.ts";
import { printTrace } from "../print/trace.ts";

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
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        print(session, options, await client.get<RuleListing[]>("/api/rules"), printRules);
      });
    });

  addCommand(program, "events", "the last events and what each rule made of them")
    .option("--type <type>", "only events of this type")
    .option("--rule <rule>", "only events that concerned this rule")
    .option("--subject <subject>", "only events about this: an item's key, an order")
    .addOption(limitOption())
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & EventsOptions>();
      const { type, rule, subject, limit } = options;
      return ask(session, options, async (client) => {
        const query = { type, rule, subject, limit: String(limit) };
        print(session, options, await client.get<EventRecord[]>("/api/events", query), printEvents);
      });
    });

  addCommand(program, "runs", "the last runs and how they ended")
    .option("--rule <rule>", "only runs of this rule")
    .option("--subject <subject>", "only runs on events about this")
    .addOption(
      new Option("--state <state>", "only runs in this state").choices(RUN_STATES),
    )
    .option("--waiting", "only runs with steps that wait: what each waits for, and until when")
    .addOption(limitOption())
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & RunsOptions>();
      const { rule, subject, state, waiting, limit } = options;
      return ask(session, options, async (client) => {
        const query = { rule, subject, state, waiting: waiting && "true", limit: String(limit) };
        print(session, options, await client.get<Run[]>("/api/runs", query), waiting ? printWaits : printRuns);
      });
    });

  addCommand(program, "show", "one run: its event, its verdict, and each step with input, output and errors")
    .argument("<run>", "id of a run")
    .action((run: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        print(session, options, await client.get<RunAnswer>(`/api/runs/${encodeURIComponent(run)}`), printTrace);
      });
    });
}
