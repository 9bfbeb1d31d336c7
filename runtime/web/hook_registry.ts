import type { Hook, Registry } from "../triggers/trigger.ts";

/** A hook that matches a requested path, with the values of its `:params`. */
export interface HookMatch {
  hook: Hook;
  params: Record<string, string>;
}

/** How many requested paths are remembered, and how long these may be. */
const MOST_KNOWN = 1_000;
const LONGEST_KNOWN = 200;

/** One segment of the registered paths, with the segments that may follow it. */
class Place {
  readonly hooks = new Set<Hook>();
  readonly literals = new Map<string, Place>();
  /** The segment for a `:param`, whatever its name. */
  param: Place | undefined;

  get isEmpty(): boolean {
    return this.hooks.size === 0 && this.literals.size === 0 && this.param === undefined;
  }
}

/**
 * Which webhook triggers listen on which path below `/hooks`: a tree of segments, so that lookup does not depend on the
 * number of hooks.
 */
export class HookRegistry implements Registry<Hook> {
  readonly #root = new Place();
  /** The matches of paths that were requested, until the next change. */
  #known = new Map<string, HookMatch[]>();

  add(hook: Hook): () => void {
    const segments = segmentsOf(hook.path);
    placeFor(this.#root, segments).hooks.add(hook);
    this.#known.clear();
    return () => {
      remove(this.#root, segments, hook);
      this.#known.clear();
    };
  }

  /** The paths with at least one hook, sorted. */
  paths(): string[] {
    return [...new Set(pathsIn(this.#root))].sort();
  }

  /**
   * The hooks of the most specific pattern that matches: literal segments win over `:params` from left to right, so
   * `/price/all` is not also a `/price/:sku`.
   * @param path as requested, below `/hooks`, still percent-encoded
   */
  match(path: string): readonly HookMatch[] {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const wanted = segmentsOf(path).map(decode);
    const place = find(this.#root, wanted, 0);
    const found = [...place?.hooks ?? []].map((hook) => ({ hook, params: paramsOf(hook, wanted) }));
    // Paths come from outside: ones without hooks, long ones and ones with values would evict the others.
    if (
      found.length > 0 && path.length <= LONGEST_KNOWN && !found.some(({ params }) => Object.keys(params).length > 0)
    ) {
      if (this.#known.size >= MOST_KNOWN) this.#known.clear();
      this.#known.set(path, found);
    }
    return found;
  }
}

/** The node of a pattern, created if missing. */
function placeFor(root: Place, segments: string[]): Place {
  return segments.reduce((place, segment) => {
    if (isParam(segment)) return place.param ??= new Place();
    const next = place.literals.get(segment) ?? new Place();
    place.literals.set(segment, next);
    return next;
  }, root);
}

/** Removes a hook and the nodes that become empty: a program that runs for months sees many paths. */
function remove(place: Place, [segment, ...rest]: string[], hook: Hook): void {
  if (segment === undefined) return void place.hooks.delete(hook);
  const next = isParam(segment) ? place.param : place.literals.get(segment);
  if (next === undefined) return;
  remove(next, rest, hook);
  if (!next.isEmpty) return;
  if (isParam(segment)) place.param = undefined;
  else place.literals.delete(segment);
}

function find(place: Place, wanted: string[], at: number): Place | undefined {
  if (at === wanted.length) return place.hooks.size > 0 ? place : undefined;
  const literal = place.literals.get(wanted[at]);
  return (literal && find(literal, wanted, at + 1)) ?? (place.param && find(place.param, wanted, at + 1));
}

function pathsIn(place: Place): string[] {
  const below = [...place.literals.values(), ...place.param ? [place.param] : []];
  return [...[...place.hooks].map(({ path }) => path), ...below.flatMap(pathsIn)];
}

function paramsOf({ path }: Hook, wanted: string[]): Record<string, string> {
  if (!path.includes(":")) return {};
  return Object.fromEntries(
    segmentsOf(path).flatMap((segment, at) => isParam(segment) ? [[segment.slice(1), wanted[at]]] : []),
  );
}

function isParam(segment: string): boolean {
  return segment.startsWith(":");
}

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

function decode(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
