import { actions } from "../actions/index.ts";
import type { Kind } from "../language/kind.ts";
import { controls } from "./steps/index.ts";

/** All kinds of steps, by name: actions and controls. */
export const stepKinds: Record<string, Kind> = { ...actions, ...controls };
