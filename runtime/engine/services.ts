import type { ActionServices } from "../actions/action.ts";
import type { Rule } from "../model/rule.ts";
import { TerminalError } from "../model/errors.ts";
import type { RunnerOptions } from "./runner_options.ts";

/** What the actions of one rule version can reach: the program's services, its memory and its own modules. */
export function servicesFor(
  rule: Rule,
  { services, store, isolates, clock }: Pick<RunnerOptions, "services" | "store" | "isolates" | "clock">,
): ActionServices {
  return {
    ...services,
    getState: async (key) => {
      const found = await store.getState([key], clock.now());
      // A key may have the name of a property that every object has: constructor.
      return Object.hasOwn(found, key) ? found[key] : undefined;
    },
    callModule: ({ path, export: name, args }, { signal }) => {
      const code = rule.modules[path];
      if (code === undefined) {
        throw new TerminalError(
          `Cannot call ${path}#${name}: the file is not part of ${rule.id}; name it as text after "call"`,
        );
      }
      return isolates.callFunction({ version: `${rule.version}:${path}`, file: path, code }, name, args, signal);
    },
  };
}
