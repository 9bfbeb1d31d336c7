import type { Command } from "commander";
import type { CommonOptions } from "../options.ts";
import { addCommand, ask, print, type Session } from "../session.ts";

/** `replay`, `cancel`, `pause` and `resume`: what an operator does about a run or a rule. */
export function addOperations(program: Command, session: Session): void {
  addCommand(program, "replay", "run the event of a run once more, by the rule as it is now")
    .argument("<run>", "id of a run")
    .action((run: string, _options, command: Command) =>
      post(
        command,
        `/api/runs/${encodeURIComponent(run)}/replay`,
        {},
        (answer) => `Run ${answer.run} replays run ${run}`,
      )
    );

  addCommand(program, "cancel", "end a run that has not ended yet")
    .argument("<run>", "id of a run")
    .action((run: string, _options, command: Command) =>
      post(command, `/api/runs/${encodeURIComponent(run)}/cancel`, {}, ({ state }) => {
        return state === "cancelled" ? `Run ${run} is cancelled` : `Run ${run} had ended before: it is ${state}`;
      })
    );

  addCommand(program, "pause", "let the events of a rule start nothing until it is resumed")
    .argument("<rule>", "id of a rule")
    .option("--reason <text>", "what the verdicts will say", "paused by an operator")
    .action((rule: string, { reason }: { reason: string }, command: Command) =>
      post(command, `/api/rules/${pathOf(rule)}/pause`, { reason }, () => `Rule ${rule} is paused: ${reason}`)
    );

  addCommand(program, "resume", "let the events of a paused rule start runs again")
    .argument("<rule>", "id of a rule")
    .action((rule: string, _options, command: Command) =>
      post(command, `/api/rules/${pathOf(rule)}/resume`, {}, () => `Rule ${rule} is on again`)
    );

  function post(command: Command, path: string, body: unknown, say: (answer: Answer) => string): Promise<void> {
    const options = command.optsWithGlobals<CommonOptions>();
    return ask(options, async (client) => {
      const answer = await client.post<Answer>(path, body);
      print(session, options, answer, (terminal) => terminal.write(say(answer) + "\n"));
    });
  }
}

type Answer = { run?: string; state?: string };

/** A rule's id is a path; its slashes stay. */
function pathOf(rule: string): string {
  return rule.split("/").map(encodeURIComponent).join("/");
}
