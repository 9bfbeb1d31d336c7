import type { Action } from "./action.ts";
import { call } from "./call.ts";
import { emit, log, state } from "./emit_log_state.ts";
import { http } from "./http.ts";
import { mail } from "./mail.ts";
import { patch } from "./patch.ts";
import { reply } from "./reply.ts";
import { run } from "./run.ts";
import { task } from "./task.ts";

/** All kinds of actions, by name. */
export const actions: Record<string, Action> = { http, run, call, emit, log, mail, patch, reply, state, task };
