import type { Event } from "../model/event.ts";
import { InvalidEventError } from "./workers.ts";
import { type StandardSchema, validate } from "../sdk/schema.ts";

/** An event with the output of a validator as its data. */
export interface ValidatedEvent extends Omit<Event, "data"> {
  data: unknown;
}

/**
 * Runs the validator, if there is one, over an event's data.
 * @throws InvalidEventError if the data is invalid
 */
export async function validatedEvent(event: Event, schema: StandardSchema | undefined): Promise<ValidatedEvent> {
  if (schema === undefined) return event;
  const checked = await validate(schema, event.data);
  if ("value" in checked) return { ...event, data: checked.value };
  throw new InvalidEventError(`event ${event.type} is not as the rule expects: ${checked.problems.join("; ")}`);
}
