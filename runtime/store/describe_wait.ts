import { writeExactJson } from "../formats/exact_json.ts";
import type { Json } from "../model/json.ts";
import type { Form } from "../model/form.ts";

/** What a step waits for, as far as people are shown it. */
export type Awaited =
  | { kind: "time" }
  | { kind: "event"; types: string[]; match: Record<string, Json> }
  | { kind: "form"; form: Pick<Form, "title" | "to"> };

/** Describes briefly what a step waits for: `payment.received with data.id "A1"`, `form "Refund?" for finance, cfo`. */
export function describeWait(wait: Awaited): string {
  switch (wait.kind) {
    case "time":
      return "a time";
    case "event": {
      const values = Object.entries(wait.match).map(([path, value]) => `${path} ${writeExactJson(value)}`);
      return wait.types.join(" or ") + (values.length > 0 ? ` with ${values.join(", ")}` : "");
    }
    case "form":
      return `form ${JSON.stringify(wait.form.title)} for ${wait.form.to.join(", ")}`;
  }
}
