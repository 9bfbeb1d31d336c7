import { actions } from "../../actions/index.ts";
import type { Kind } from "../../language/kind.ts";
import type { Control } from "./control.ts";
import { each } from "./each.ts";
import { form } from "./form.ts";
import { branch } from "./if.ts";
import { parallel } from "./parallel.ts";
import { repeat } from "./repeat.ts";
import { stop } from "./stop.ts";
import { wait } from "./wait.ts";
import { waitFor } from "./wait_for.ts";

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
