import type { Command } from "commander";
import type { Json } from "../../../runtime/model/json.ts";
import type { ConfigListing } from "../../../runtime/web/config_api.ts";
import { readGiven, valuesOf } from "../given_values.ts";
import { printConfig } from "../print/config.ts";
import { addCommand, ask, type CommonOptions, print, type Session } from "../session.ts";
import { operatorName, pathOf } from "./operations.ts";

/** `config`: the config of a rule with where each value comes from; sets values, as its page does. */
export function addConfig(program: Command, session: Session): void {
  addCommand(program, "config", "the config of a rule, and where each value comes from; sets values as its page does")
    .argument("<rule>", "id of a rule")
    .argument("[values...]", "values to set, such as limit=5; a name twice is a list")
    .option("--remove <key...>", "removes what was set so, and the layer below applies")
    .action((rule: string, pairs: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { remove?: string[] }>();
      const { remove = [] } = options;
      const given = readGiven("config", pairs, undefined) as { texts: Map<string, string> };
      return ask(session, options, async (client) => {
        const path = `/api/rules/${pathOf(rule)}/config`;
        let listing = await client.get<ConfigListing[]>(path);
        if (given.texts.size + remove.length > 0) {
          const fields = Object.fromEntries(listing.map(({ key, field }) => [key, field]));
          const set: Record<string, Json> = valuesOf(given.texts, fields);
          for (const key of remove) set[key] = null;
          listing = await client.post<ConfigListing[]>(path, { set, by: operatorName() });
        }
        print(session, options, listing, printConfig);
      });
    });
}
