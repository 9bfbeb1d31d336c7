import type { Json } from "../../model/json.ts";

/**
 * Expressions read `state['x']` synchronously, but the store is asynchronous. So this evaluates with a view that notes the keys
 * read, fetches missing keys, and evaluates again until none is missing. Expressions are pure, so repetition has no effect.
 * @param read returns the values of the keys that exist
 * @param use evaluates with the view as `state`; few expressions read it, so it is made when it is asked for
 */
export async function withState<T>(
  read: (keys: string[]) => Promise<Record<string, Json>>,
  use: (state: () => unknown) => T,
): Promise<T> {
  let view: StateView | undefined;
  const state = () => view ??= new StateView();
  for (;;) {
    const attempt = settle(() => use(state));
    const wanted = view?.takeWanted() ?? [];
    if (wanted.length === 0) {
      if ("error" in attempt) throw attempt.error;
      return attempt.value;
    }
    view!.learn(wanted, await read(wanted));
  }
}

function settle<T>(use: () => T): { value: T } | { error: unknown } {
  try {
    return { value: use() };
  } catch (error) {
    return { error };
  }
}

class StateView extends Map<string, Json> {
  #known = new Set<string>();
  #wanted = new Set<string>();

  override get(key: string): Json | undefined {
    if (!this.#known.has(key)) this.#wanted.add(key);
    return super.get(key);
  }

  takeWanted(): string[] {
    const wanted = [...this.#wanted];
    this.#wanted.clear();
    return wanted;
  }

  learn(keys: string[], values: Record<string, Json>): void {
    for (const key of keys) {
      this.#known.add(key);
      if (Object.hasOwn(values, key)) this.set(key, values[key]);
    }
  }
}
// The evaluator recognises maps by this.
StateView.prototype.constructor = Map;
