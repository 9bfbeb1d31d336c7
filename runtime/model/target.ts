import { posix, relative, resolve, sep } from "node:path";

/** What a `call` names. */
export interface Target {
  /**
   * The key of the module or file: a path relative to the rules folder, `npm:` and the name of a package, a path that ends
   * in a slash for a folder with a `package.json`, or empty text for the rule's own code.
   */
  path: string;
  /** The export; absent for a YAML file. */
  name?: string;
}

const FILE = /^[^#]+\.([cm]?[jt]s#[A-Za-z_$][\w$]*|ya?ml)$/;
const PACKAGE = /^(@[\w.~-]+\/)?[A-Za-z0-9_~-][\w.~-]*(\/[\w.~/-]+)?#[A-Za-z_$][\w$]*$/;
const FOLDER = /^\.{1,2}\/[^#]*[^#/](?<!\.ya?ml)#[A-Za-z_$][\w$]*$/;
const OWN = /^#[^#]+#[\w$]+(#\d+)?$/;
/** Begins the key of a package. */
const NPM = "npm:";

/** Whether a text can be the target of a `call`. */
export function isTarget(text: string): boolean {
  return [FILE, PACKAGE, FOLDER, OWN].some((pattern) => pattern.test(text));
}

/**
 * Reads a target that {@link isTarget}.
 * @param folder the rules folder, absolute
 * @param callerFolder the folder of the calling file, absolute
 */
export function readTarget(folder: string, callerFolder: string, target: string): Target {
  if (target.startsWith("#")) return { path: "", name: target.slice(1) };
  const [file, name] = target.split("#");
  const named = name === undefined ? {} : { name };
  if (!FILE.test(target) && PACKAGE.test(target)) return { path: `${NPM}${file}`, ...named };
  const path = relative(folder, resolve(callerFolder, file)).replaceAll(sep, posix.sep);
  return { path: FILE.test(target) || name === undefined ? path : `${path}/`, ...named };
}

/** Whether the key of a module is that of a package, or of a folder with one. */
export function isPackage(path: string): boolean {
  return path.startsWith(NPM) || path.endsWith("/");
}

/** Whether a key is that of a module. */
export function isModule(path: string): boolean {
  return isPackage(path) || /\.[cm]?[jt]s$/.test(path);
}

/** What an import of a package names: `whenthen-asana`, or a path below the rules folder. */
export function specifierOf(path: string): string {
  return path.startsWith(NPM) ? path.slice(NPM.length) : `./${path}`;
}

/** The name of a target for messages, the same however it is written: `whenthen-asana#tasks`, `crm/contacts.ts#contacts`. */
export function nameOfTarget({ path, name = "" }: Target): string {
  return path === "" ? name : `${specifierOf(path).replace(/^\.\/|\/$/g, "")}#${name}`;
}

/** The key under which the definitions of a rule are kept. */
export function definitionKey({ path, name }: Target): string {
  return `${path}#${name ?? ""}`;
}
