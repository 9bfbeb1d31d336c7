import type { z } from "zod";
import type { JsonObject } from "../model/json.ts";

/**
 * What the checker must know of one kind of trigger or step. The modules in `trigger/` and `action/` extend this with
 * what the kind does; the checker, the templates and the JSON Schema are driven by the tables of these.
 */
export interface Kind {
  /** The key that names it in a rule file: `cron`, `http`. */
  kind: string;
  /** One sentence for editors and messages. */
  summary: string;
  /** Schema of the main argument. */
  main: z.ZodType;
  /** Schemas of the options beside it. Field makers such as `expression()` say which are CEL and which are URLs. */
  options: z.ZodRawShape;
  /** Options that hold a nested list of steps, such as `then` and `else`. */
  children?: string[];
  /**
   * What only this kind can find wrong before it runs: options that exclude each other, a cron that never fires. Templates in the
   * arguments are unresolved. Messages without trailing
   * period; `; ` stands before the remedy.
   */
  check?(args: JsonObject, now: number): string[];
  /** For a trigger: kind and address; what it is called without a name. */
  address?(args: JsonObject): string;
}

/** All kinds, by name. */
export interface Kinds {
  triggers: Record<string, Kind>;
  steps: Record<string, Kind>;
}
