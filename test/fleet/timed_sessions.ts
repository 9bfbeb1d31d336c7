import { Sessions, type SessionsOptions } from "../../runtime/fleet/sessions.ts";

/** Sessions whose time a test moves. */
export function timedSessions(given: Pick<SessionsOptions, "platform" | "builtIn" | "settings">) {
  const time = { now: 0 };
  const edges: string[] = [];
  const sessions = new Sessions({
    ...given,
    surroundings: { env: {}, secrets: {} },
    mark() {},
    onEdge: ([what]) => edges.push(what),
    onEnded() {},
    now: () => time.now,
  });
  /** Lets so many milliseconds pass, then what that started. */
  const pass = async (ms: number) => {
    for (const end = time.now + ms; time.now < end; time.now += 10) sessions.turn();
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { sessions, edges, time, pass };
}
