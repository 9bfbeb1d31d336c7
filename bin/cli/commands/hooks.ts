import type { Command } from "commander";
import type { HandshakeHook } from "../../../runtime/web/hooks_api.ts";
import { printHooks } from "../print/connections.ts";
import { addCommand, ask, type CommonOptions, print, type Session } from "../session.ts";
import { operatorName } from "./operations.ts";

/** `hooks`, `hooks open` and `hooks remove`: webhooks whose provider gives the secret in a handshake. */
export function addHooks(program: Command, session: Session): void {
  const hooks = addCommand(
    program,
    "hooks",
    "webhooks with auth: asana and their secrets; hooks open RULE accepts new ones",
  )
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        print(session, options, await client.get<HandshakeHook[]>("/api/hooks"), printHooks);
      });
    });

  addCommand(hooks, "open", "accept the secrets that a provider gives in handshakes, for some time")
    .argument("<rule>", "id of a rule")
    .option("--for <duration>", "how long", "10m")
    .action((rule: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { for: string }>();
      return ask(session, options, async (client) => {
        const body = { rule, for: options.for, by: operatorName() };
        print(session, options, await client.post<HandshakeHook[]>("/api/hooks/open", body), printHooks);
      });
    });

  addCommand(hooks, "remove", "remove one secret, or all of a rule")
    .argument("<secret>", "its id, as hooks shows it, or the id of a rule")
    .action((what: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        const done = await client.post<{ removed: number }>("/api/hooks/remove", { what, by: operatorName() });
        print(session, options, done, ({ write }) => write(`${what} is removed\n`));
      });
    });
}
