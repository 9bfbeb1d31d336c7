import type { Hook, Registry } from "../trigger/trigger.ts";

/** A hook that listens on a requested path, with the values of its `:params`. */
export interface HookMatch {
  hook: Hook;
  params: Record<string, string>;
}

/** Which webhook triggers listen on which path below `/hooks`. */
export class HookRegistry implements Registry<Hook> {
  readonly #hooks = new Set<Hook>();

  add(hook: Hook): () => void {
    this.#hooks.add(hook);
    return () => this.#hooks.delete(hook);
  }

  /** The paths that somebody listens on, sorted. */
  paths(): string[] {
    return [...new Set([...this.#hooks].map(({ path }) => path))].sort();
  }

  /**
   * The hooks of the most specific pattern that fits: literal segments win over `:params` from left to right, so
   * `/price/all` is not also a `/price/:sku`.
   * @param path as requested, below `/hooks`, still percent-encoded
   */
  match(path: string): HookMatch[] {
    const wanted = segmentsOf(path).map(decode);
    const matches: (HookMatch & { shape: string })[] = [];
    for (const hook of this.#hooks) {
      const match = matchSegments(segmentsOf(hook.path), wanted);
      if (match !== undefined) matches.push({ hook, ...match });
    }
    const best = matches.reduce((least, { shape }) => shape < least ? shape : least, "~");
    return matches.filter(({ shape }) => shape === best).map(({ hook, params }) => ({ hook, params }));
  }
}

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The params, and a shape in which `0` is a literal segment and `1` a param: the least one is the most specific. */
function matchSegments(
  pattern: string[],
  wanted: string[],
): { params: Record<string, string>; shape: string } | undefined {
  if (pattern.length !== wanted.length) return undefined;
  const params: Record<string, string> = {};
  let shape = "";
  for (const [index, segment] of pattern.entries()) {
    if (segment.startsWith(":")) params[segment.slice(1)] = wanted[index];
    else if (segment !== wanted[index]) return undefined;
    shape += segment.startsWith(":") ? "1" : "0";
  }
  return { params, shape };
}
