import process from "node:process";

/** The functions of node's modules that reach beyond the process; all others stay as they are. */
const REACHING: Record<string, RegExp> = {
  "node:http": /^(request|get)$/,
  "node:https": /^(request|get)$/,
  "node:http2": /^connect$/,
  "node:net": /^(connect|createConnection)$/,
  "node:tls": /^connect$/,
  "node:dgram": /^createSocket$/,
  "node:child_process": /^(exec|execFile|fork|spawn)(Sync)?$/,
  "node:worker_threads": /^Worker$/,
  "node:fs":
    /^(append|copy|cp|createWriteStream|l?f?(chmod|chown|utimes)|f?truncate|link|mk|rename|rm|symlink|unlink|write)/,
};
const GLOBALS = ["WebSocket", "EventSource", "Worker", "XMLHttpRequest"];
/** What `Deno` and `Bun` offer beyond node's modules and the globals. */
const OF_HOSTS: Record<string, string[]> = {
  Deno: ["connect", "connectTls", "startTls", "listenDatagram", "openKv", "Command"],
  // `Bun.fetch` is read-only and stays as it is.
  Bun: ["write", "spawn", "spawnSync", "connect", "udpSocket", "$"],
};
/** Deno (2.9) leaves names that are imported from `node:fs/promises` as they were, so there the process gives up its rights, too. */
const RIGHTS = ["net", "write", "run"] as const;

type Functions = Record<string, unknown>;

const globals = globalThis as unknown as Functions;

/**
 * Makes the code of this worker reach nothing outside: no requests, sockets, commands, workers and changes of files. Reading files
 * works as before. Call it before that code is evaluated; it cannot be undone.
 * @param reason is in the error of each function that is refused
 */
export async function sealWorker(reason: string): Promise<void> {
  const refuse = (what: string) =>
    function () {
      throw new Error(`Cannot call ${what}: ${reason}`);
    };
  sealModules(refuse);
  for (const name of GLOBALS) if (name in globals) globals[name] = refuse(name);
  globalThis.fetch = (input) =>
    Promise.reject(new Error(`Cannot request ${input instanceof Request ? input.url : input}: ${reason}`));
  for (const [host, names] of Object.entries(OF_HOSTS)) {
    const functions = globals[host] as Functions | undefined;
    if (functions !== undefined) { for (const name of names) functions[name] = refuse(`${host}.${name}`); }
  }
  if (!("Bun" in globals)) { for (const name of RIGHTS) await Deno.permissions.revoke({ name }); }
}

function sealModules(refuse: (what: string) => () => void): void {
  // Loaded only here, because few processes of rule code are sealed.
  const { createRequire, syncBuiltinESMExports } = process.getBuiltinModule("node:module");
  const require = createRequire(`${process.cwd()}/`);
  const seal = (target: Functions, where: string, names: RegExp) => {
    for (const name of Object.keys(target)) if (names.test(name)) target[name] = refuse(`${where}.${name}`);
  };
  for (const [module, names] of Object.entries(REACHING)) seal(require(module), module.slice("node:".length), names);
  const fs = require("node:fs");
  seal(fs.promises, "fs.promises", REACHING["node:fs"]);
  const reading: unknown[] = [undefined, "r", "rs", fs.constants.O_RDONLY];
  for (const [target, name] of [[fs, "open"], [fs, "openSync"], [fs.promises, "open"]] as const) {
    const open = target[name];
    target[name] = (path: unknown, flags?: unknown, ...rest: unknown[]) =>
      reading.includes(flags) || typeof flags === "function"
        ? open(path, flags, ...rest)
        : refuse(`fs.${name} to write`)();
  }
  const { Socket } = require("node:net");
  Socket.prototype.connect = refuse("net.Socket.connect");
  const { Socket: DatagramSocket } = require("node:dgram");
  for (const name of ["bind", "connect", "send"]) DatagramSocket.prototype[name] = refuse(`dgram.Socket.${name}`);
  syncBuiltinESMExports();
}
