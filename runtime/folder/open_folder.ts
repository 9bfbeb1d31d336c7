import { join } from "node:path";
import { KEY_NAME } from "../connections/vault.ts";
import { type Embedded, embedded } from "../host/embedded.ts";
import type { Isolates } from "../workers/workers.ts";
import type { UpperValue } from "../model/config.ts";
import { type IsolateOptions, openIsolates } from "../workers/open_workers.ts";
import type { Kind } from "../language/kind.ts";
import type { Secrets } from "../secrets/secrets.ts";
import { triggerKinds } from "../triggers/index.ts";
import { stopEsbuild } from "./typescript/typescript_bundle.ts";
import { Loader } from "./loader.ts";
import type { Prebuilt } from "./typescript/typescript_files.ts";

/** What loading a folder needs from its surroundings. */
export interface LoadingOptions {
  folder: string;
  data: string;
  /** @default "cache" in the data folder */
  cache?: string;
  env?: string;
  /** Config values from the command line. */
  set?: UpperValue[];
  /** TypeScript files that are already bundled. */
  prebuilt?: Prebuilt;
  environment: Record<string, string | undefined>;
  stepKinds: Record<string, Kind>;
  secrets: Secrets;
  now: () => number;
  /** Bytes of the store in memory. @default 0 */
  storeBytes?: () => number;
  /** A line that rule code wrote with `console.*`. */
  onLog: (level: "debug" | "info" | "warn" | "error", message: string, file: string, run?: string) => void;
  /** Milliseconds that a load waits for slow TypeScript rules, and what to do when such a rule is ready. */
  loadTimeout?: number;
  onLate?: () => void;
  /** Resolves when a `fetch` of rule code may be sent, by the rate limit of its destination. @default at once */
  admit?: IsolateOptions["admit"];
  /** Code in TypeScript files must reach nothing outside; the reason is in each error. */
  sealed?: string;
}

/** A loader with the workers in which it reads TypeScript rules. */
export interface Loading {
  loader: Loader;
  isolates: Isolates;
  close(): Promise<void>;
}

/** Opens a loader. Workers and esbuild start on first use. */
export function openLoading(options: LoadingOptions): Loading {
  const {
    folder,
    data,
    cache = join(data, "cache"),
    env,
    set,
    prebuilt,
    environment,
    stepKinds,
    secrets,
    now,
    storeBytes,
    onLog,
    loadTimeout,
    onLate,
    admit,
    sealed,
  } = options;
  const isolates = openIsolates({
    secrets: withoutKey(secrets),
    onSecret: (name) => void secrets.get(name),
    env: () => withoutSecrets(environment, secrets),
    onLog: ({ level, message, file, run }) => onLog(level, message, file, run),
    storeBytes,
    admit,
    sealed,
  });
  const loader = new Loader({
    folder,
    dataFolder: data,
    cacheFolder: cache,
    build: buildOf(embedded),
    env,
    set,
    prebuilt,
    environment,
    triggerKinds,
    stepKinds,
    isolates,
    now,
    loadTimeout,
    onLate,
  });
  const close = async () => void await Promise.all([isolates.close(), stopEsbuild()]);
  return { loader, isolates, close };
}

/** A commit identifies the code only if the working tree was clean. */
function buildOf(embedded: Embedded | undefined): string | undefined {
  return embedded !== undefined && /^[0-9a-f]+$/.test(embedded.commit)
    ? `${embedded.commit} ${embedded.target}`
    : undefined;
}

/** All secrets that rule code may ask for, by name. */
export function withoutKey(secrets: Secrets): () => Record<string, string> {
  return () => {
    const { [KEY_NAME]: _never, ...others } = secrets.all();
    return others;
  };
}

/** The environment of children and rule code: they get secrets only if a rule passes them. */
export function withoutSecrets(
  environment: Record<string, string | undefined>,
  secrets: Secrets,
): Record<string, string> {
  const hidden = new Set([...secrets.names, "WHENTHEN_TOKEN", KEY_NAME]);
  const entries = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries.filter(([name]) => !hidden.has(name)));
}
