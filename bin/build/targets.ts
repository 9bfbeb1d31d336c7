import { join } from "node:path";
import process from "node:process";

/** The targets of a binary, with the npm packages of its native parts, and what Debian calls its processor. */
export const TARGETS = {
  "linux-x64": { bun: "@oven/bun-linux-x64", esbuild: "@esbuild/linux-x64", debian: "amd64" },
  "linux-arm64": { bun: "@oven/bun-linux-aarch64", esbuild: "@esbuild/linux-arm64", debian: "arm64" },
  "darwin-x64": { bun: "@oven/bun-darwin-x64", esbuild: "@esbuild/darwin-x64", debian: undefined },
  "darwin-arm64": { bun: "@oven/bun-darwin-aarch64", esbuild: "@esbuild/darwin-arm64", debian: undefined },
} as const;

export type Target = keyof typeof TARGETS;

/** The target of this machine. */
export const HOST = hostTarget();

function hostTarget(): Target {
  const host = `${process.platform}-${process.arch}`;
  if (isTarget(host)) return host;
  throw new Error(`Cannot build on ${host}; build on one of ${Object.keys(TARGETS).join(", ")}`);
}

function isTarget(text: string): text is Target {
  return Object.hasOwn(TARGETS, text);
}

/** Where the build puts a program for a target, relative to the project. */
export function binaryFile(target: Target, name = "whenthen"): string {
  return join("bin", target === HOST ? name : `${name}-${target}`);
}
