import type { Repeatable } from "../model/event.ts";

/** With `columns`, CSV whose header row lacks one of these is an error. */
export type Format = "json" | "feed" | "csv" | "lines" | "text" | { csv: { columns: readonly string[] } };

/** Options of every step. */
export interface StepOptions {
  /** For one attempt: `30s`. */
  timeout?: string;
  /** The number of attempts, or the whole policy. */
  retry?: number | { attempts: number; delay?: string; max?: string };
}

export interface HttpOptions extends StepOptions {
  json?: unknown;
  form?: Record<string, unknown>;
  body?: string;
  headers?: Record<string, string>;
  query?: Record<string, unknown>;
  auth?: { bearer: string } | { basic: string } | { connection: string };
  format?: Format;
  /** Charset of the answer, whatever its content type says. */
  charset?: string;
  /** Saves the body to a file of this name in the run's folder; `body` is then a {@link SavedFile}. */
  save?: string;
  /** Statuses that count as success in addition to 2xx. */
  ok?: readonly number[];
}

export interface HttpResult<Body> {
  status: number;
  /** Names in lower case; several `set-cookie` are a list. */
  headers: Record<string, Repeatable>;
  body: Body;
}
