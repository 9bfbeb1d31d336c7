#!/usr/bin/env node
/*
 * The command of the npm package: starts the binary, which is in the package of the machine's platform. It runs in the user's
 * Node, with nothing else of the project.
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants } from "node:os";
import process from "node:process";

/** What a terminal, a service manager or another program ends this one by. The binary decides what they mean. */
const PASSED_ON = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const;

const require = createRequire(import.meta.url);
const { version, optionalDependencies } = require("../package.json") as {
  version: string;
  optionalDependencies: Record<string, string>;
};
const host = `${process.platform}-${process.arch}`;
const binary = findBinary(`@whenthen/${host}`);
const child = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
for (const signal of PASSED_ON) process.on(signal, () => child.kill(signal));
child.on("error", (error: Error & { code?: string }) => {
  // The file is there: what is missing is the loader that it names, as on Alpine.
  const hint = error.code === "ENOENT" ? "it needs glibc, which this system does not have" : error.message;
  fail(`Cannot start ${binary}: ${hint}`);
});
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  // Whoever waits for this process sees the same end as of the binary.
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  process.exitCode = 128 + constants.signals[signal];
});

function findBinary(platform: string): string {
  if (!(platform in optionalDependencies)) {
    const others = Object.keys(optionalDependencies).map((name) => name.replace("@whenthen/", ""));
    fail(
      `whenthen ${version} from npm runs on ${others.join(", ")}, not on ${host}; run it from source with Deno there`,
    );
  }
  try {
    return require.resolve(`${platform}/bin/whenthen`);
  } catch {
    fail(
      `Cannot start whenthen: the package ${platform}, which holds the program for this machine, is not installed.\n` +
        `npm leaves it out with --omit=optional, or if node_modules comes from another kind of machine. Install it:\n` +
        `  npm install ${platform}@${version}`,
    );
  }
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
