import { actions } from "../../actions/index.ts";
import type { Kind } from "../../language/kind.ts";
import type { Control } from "./control.ts";
import { each } from "./each.ts";
import { form } from "./form.ts";
import { branch, parallel, stop } from "./if_parallel_stop.ts";
import { repeat } from "./repeat.ts";
import { wait, waitFor } from "./wait.ts";

/** The kinds of control steps, by name. */
export const controls: Record<string, Control> = {
  wait,
  waitFor,
  form,
  if: branch,
  each,
  parallel,
  repeat,
  stop,
};

/** All kinds of steps, by name: actions and controls. */
export const stepKinds: Record<string, Kind> = { ...actions, ...controls };
