/**
 * Asana for whenthen: sources of tasks, stories and config, and actions.
 *
 * @module
 */
export { comment, complete, create, move, status } from "./actions.ts";
export { config } from "./config.ts";
export { stories } from "./stories.ts";
export { tasks } from "./tasks.ts";
export type { CustomField, Membership, Named, Story, Task } from "./model.ts";
