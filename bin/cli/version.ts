import { versions } from "node:process";
import manifest from "../../package.json" with { type: "json" };
import { embedded } from "../../runtime/host/embedded.ts";

/** The program's version. */
export const VERSION = manifest.version;

/** Identifies this program: version, commit and target of the binary. */
export function describeVersion(): string {
  const origin = embedded ? `commit ${embedded.commit}, ${embedded.target}` : `from source, Deno ${versions.deno}`;
  return `${VERSION} (${origin})`;
}
