import { duration, json, template } from "../language/fields/field.ts";
import { defineAction } from "./action.ts";

/**
 * Memory across runs: sets a value and returns the previous one, or only reads if no value is given. The store writes the value
 * together with the step's record and puts the previous value there as the step's result.
 */
export const state = defineAction({
  kind: "state",
  summary: "Stores a value across runs and returns the previous one; without a value it only reads",
  main: template().describe("The key, such as up/${{ event.subject }}"),
  options: {
    value: json().optional().describe("The value to store"),
    ttl: duration().optional().describe("How long it is kept; by default for ever"),
  },
  defaults: { timeout: 30_000, attempts: 1 },
  async execute({ state: key, value, ttl }, { services }) {
    const current = await services.getState(key) ?? null;
    if (value === undefined) return { output: current };
    return { output: current, effects: { state: { key, value, ...(ttl !== undefined && { ttl }) } } };
  },
});
