import process from "node:process";

/** The targets of a binary, with the names of the npm packages that contain its native parts. */
export const TARGETS = {
  "linux-x64": { bun: "@oven/bun-linux-x64", esbuild: "@esbuild/linux-x64" },
  "linux-arm64": { bun: "@oven/bun-linux-aarch64", esbuild: "@esbuild/linux-arm64" },
  "darwin-x64": { bun: "@oven/bun-darwin-x64", esbuild: "@esbuild/darwin-x64" },
  "darwin-arm64": { bun: "@oven/bun-darwin-aarch64", esbuild: "@esbuild/darwin-arm64" },
} as const;

export type Target = keyof typeof TARGETS;

/** The target of this machine. */
export const HOST = `${process.platform}-${process.arch}` as Target;

export function isTarget(text: string): text is Target {
  return Object.hasOwn(TARGETS, text);
}
