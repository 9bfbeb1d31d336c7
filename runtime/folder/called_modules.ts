import type { Definition } from "../model/rule.ts";
import { definitionKey, isPackage, specifierOf, type Target } from "../model/target.ts";
import type { LoadedTypeScript } from "./typescript/typescript.ts";

/** The modules that a rule calls, as far as they are loaded. */
export interface CalledModules {
  modules: Record<string, string>;
  /** By {@link definitionKey}. */
  definitions: Record<string, Definition>;
  late: boolean;
}

type Report = (message: string, hint?: string) => void;

/**
 * Adds the module that a target names.
 * @param target as written
 * @param suggest the hint for a file that does not exist
 * @returns the source or action that it is; undefined if it is a plain function or cannot be called
 */
export function addModule(
  called: CalledModules,
  module: LoadedTypeScript | "absent" | undefined,
  { target, ...callee }: Target & { target: string },
  report: Report,
  suggest: () => string,
): Definition | undefined {
  const { path, name } = callee;
  const file = isPackage(path) ? specifierOf(path) : target.split("#")[0];
  if (module === undefined) called.late = true;
  else if (module === "absent") report(`${file} does not exist`, suggest());
  else if (module.kind === "problems") reportBroken(path, file, module, report);
  else if (name === undefined || !module.exports.includes(name)) {
    const exported = module.exports.filter((each) => each !== "default").join(", ");
    report(`${file} exports no "${name}"`, exported === "" ? "it exports nothing" : `it exports: ${exported}`);
  } else {
    called.modules[path] = module.code;
    const definition = module.definitions?.[name];
    if (definition !== undefined) called.definitions[definitionKey(callee)] = definition;
    return definition;
  }
  return undefined;
}

/** The problems of a file are reported with that file, those of a package at each call. */
function reportBroken(
  path: string,
  file: string,
  { problems: [first] }: Extract<LoadedTypeScript, { kind: "problems" }>,
  report: Report,
): void {
  if (!isPackage(path) || first === undefined) return report(`${file} does not load`, "fix its problems first");
  const isMissing = /^cannot find the package/.test(first.message);
  if (!isMissing) return report(`the package ${file} does not load: ${first.message}`, first.hint);
  report(first.message, `type ${first.hint} in the rules folder; nothing is installed by itself`);
}

/** What is wrong with calling a source or an action at a place. */
export function misuse({ kind, methods }: Definition, isPolled: boolean): [message: string, hint: string] | undefined {
  if (kind === "device") return ["this is a platform of devices", "name it under device: in a file with devices:"];
  if (kind === "action" && isPolled) return ["this is an action, which a step calls", "poll a source"];
  if (kind === "source" && !isPolled) return ["this is a source, which a poll reads", "write it under when: poll:"];
  if (kind === "source" && !methods.includes("read") && !methods.includes("listen")) {
    return ["this source has neither read nor listen", "poll another one"];
  }
  return undefined;
}
