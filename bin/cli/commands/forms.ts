import { type Command, Option } from "commander";
import type { Form } from "../../../runtime/model/form.ts";
import {
  addCommand,
  ask,
  type CommonOptions,
  envOption,
  folderOption,
  jsonOption,
  limitOption,
  logOption,
  print,
  type Session,
  show,
} from "../session.ts";
import { printForms } from "../print/listings.ts";
import { readGiven, valuesOf } from "../given_values.ts";

interface AnswerOptions extends Omit<CommonOptions, "data"> {
  as: string;
  /** The values as JSON; the global option `--data` (the data folder) goes before the command. */
  data?: string;
}

/** `forms` and `answer`: lists forms and answers them, from a terminal. */
export function addForms(program: Command, session: Session): void {
  addCommand(program, "forms", "the forms that wait for people, oldest first")
    .option("--for <who>", "only those for this person (id or e-mail address) or group")
    .addOption(
      new Option("--state <state>", "those in this state").choices(["open", "answered", "expired", "cancelled"])
        .default("open"),
    )
    .addOption(limitOption())
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { for?: string; state: string; limit: number }>();
      const query = { for: options.for, state: options.state, limit: String(options.limit) };
      // Whom a name means is in the settings.
      return show(session, options, "/api/forms", printForms, { query, needs: options.for ? "rules" : "store" });
    });

  program.command("answer")
    .description("answer a form as one of those who are asked")
    .argument("<form>", "id of a form")
    .argument("[values...]", 'the answers, such as decision=approve reason="as agreed"; a name twice is a list')
    .requiredOption("--as <person>", "who answers: an id or an e-mail address")
    .option(
      "--data <json>",
      "the answers as JSON (the data folder goes before the command: whenthen --data DIR answer …)",
    )
    .addOption(folderOption()).addOption(envOption()).addOption(logOption()).addOption(jsonOption())
    .action((form: string, pairs: string[], options: AnswerOptions) => {
      const given = readGiven("answer", pairs, options.data);
      const common: CommonOptions = { ...options, data: program.opts<CommonOptions>().data };
      return ask(session, common, async (client) => {
        const path = `/api/forms/${encodeURIComponent(form)}`;
        const values = "data" in given ? given.data : valuesOf(given.texts, (await client.get<Form>(path)).fields);
        const answered = await client.post<Form>(path, { as: options.as, values });
        print(session, common, answered, (terminal) => {
          terminal.write(`Answered as ${answered.answer!.by}; run ${answered.run} resumes\n`);
          if (!client.live) terminal.write("No whenthen is running here: the run waits for one\n");
        });
      });
    });
}
