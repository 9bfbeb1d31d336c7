import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** The project's folder. */
export const ROOT = new URL("../..", import.meta.url).pathname;

const NODE_RED = "4.1.15";
const RESTATE = "1.7.12";
const RESTATE_SDK = "1.17.2";
/** The SDK of Restate needs a newer one than many machines have. */
const NODE = "24.21.0";

/** A program to compare with, found or installed. */
export interface Installed {
  version: string;
  /** The start of its command line. */
  command: string[];
}

/**
 * The single binary.
 * @throws Error if it was not built
 */
export function findBinary(): Installed {
  return versionOf([join(ROOT, "bin/whenthen")], "the binary", "make it by: deno task compile");
}

/** The program as source, on the Deno that runs this. */
export function findSource(): Installed {
  const config = join(ROOT, "deno.json");
  const command = [process.execPath, "run", "-A", "--config", config, join(ROOT, "bin/whenthen.ts")];
  return versionOf(command, "the source", "run deno install");
}

function versionOf(command: string[], what: string, remedy: string): Installed {
  const { status, stdout } = spawnSync(command[0], [...command.slice(1), "--version"], { encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot start ${what}; ${remedy}`);
  return { version: stdout.trim(), command };
}

/**
 * Debian's `webhook`: the one of this machine, else its package unpacked into a folder.
 * @throws Error if neither is available
 */
export function installWebhook(scratch: string): Installed {
  const { status, stdout } = spawnSync("webhook", ["-version"], { encoding: "utf8" });
  if (status === 0) return { version: stdout.trim(), command: ["webhook"] };
  const folder = join(scratch, "webhook");
  mkdirSync(folder, { recursive: true });
  run("webhook", "apt-get", ["download", "webhook"], folder);
  const [archive] = readdirSync(folder).filter((name) => name.endsWith(".deb"));
  run("webhook", "dpkg-deb", ["-x", archive, "."], folder);
  const program = join(folder, "usr/bin/webhook");
  return { version: execFileSync(program, ["-version"], { encoding: "utf8" }).trim(), command: [program] };
}

/**
 * Node-RED from npm.
 * @throws Error if npm cannot install it
 */
export function installNodeRed(scratch: string): Installed {
  const folder = fromNpm(scratch, "node-red", [`node-red@${NODE_RED}`]);
  return { version: `Node-RED ${NODE_RED}`, command: ["node", join(folder, "node-red/red.js")] };
}

/** Restate's server, its SDK, and a Node that the SDK runs on. */
export interface Restate extends Installed {
  node: string;
  /** The path of the SDK. */
  folder: string;
}

/**
 * Restate from npm.
 * @throws Error if npm cannot install it
 */
export function installRestate(scratch: string): Restate {
  const packages = [`@restatedev/restate-server@${RESTATE}`, `@restatedev/restate-sdk@${RESTATE_SDK}`, `node@${NODE}`];
  const folder = fromNpm(scratch, "restate", packages);
  const server = join(folder, ".bin/restate-server");
  return {
    version: `Restate ${RESTATE}, SDK ${RESTATE_SDK} on Node ${NODE}`,
    command: [server],
    node: join(folder, "node/bin/node"),
    folder: join(scratch, "restate"),
  };
}

/** @returns the folder of the packages */
function fromNpm(scratch: string, name: string, packages: string[]): string {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  run(name, "npm", ["install", "--no-audit", "--no-fund", "--prefix", folder, ...packages], folder);
  return join(folder, "node_modules");
}

function run(what: string, program: string, args: string[], cwd: string): void {
  const { status, stderr, error } = spawnSync(program, args, { cwd, encoding: "utf8" });
  if (status === 0) return;
  const reason = error?.message ?? stderr.trim().split("\n").at(-1);
  throw new Error(`Cannot install ${what} by ${program} ${args.join(" ")}: ${reason}`);
}
