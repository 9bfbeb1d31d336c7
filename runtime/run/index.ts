import { actions } from "../action/index.ts";
import type { Kind } from "../rule/kind.ts";
import { controls } from "./control/index.ts";

/** All kinds of steps, by name: what acts, and what decides. */
export const stepKinds: Record<string, Kind> = { ...actions, ...controls };
