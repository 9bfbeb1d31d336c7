/** A device that is to be looked after. */
export interface Placed {
  name: string;
  /** The replica that looks after it, or is to do so. */
  on?: string;
  /** When it came there; devices that nobody has yet are placed in the order in which they are given. */
  since?: number;
}

/** A replica that is alive and has the fleet. */
export interface Host {
  id: string;
  /** How many devices it has, of all fleets. */
  load: number;
  /** Whether it gets devices; one with another version of the fleet only keeps what it has. */
  takes: boolean;
}

/** A device that is to be looked after by another replica than before. */
export interface Move {
  name: string;
  to: string;
}

/**
 * Decides which replica looks after which device of a fleet. Devices that no living replica has go to the least loaded one. Of
 * the others, as few as it takes move until no two replicas differ by more than `difference`: those that have been at their place
 * for the longest time first. The same input always has the same result, and a second call with it applied moves nothing.
 * @param hosts none that takes devices: nothing moves
 * @param difference at least 1
 */
export function place(devices: Iterable<Placed>, hosts: readonly Host[], difference: number): Move[] {
  const takers = hosts.filter(({ takes }) => takes).sort((a, b) => compare(a.id, b.id));
  if (takers.length === 0) return [];
  const load = new Map(hosts.map(({ id, load }) => [id, load]));
  const placed = new Map<string, Placed[]>(hosts.map(({ id }) => [id, []]));
  const moves: Move[] = [];
  const move = (name: string, to: string) => {
    load.set(to, load.get(to)! + 1);
    moves.push({ name, to });
  };
  const homeless: Placed[] = [];
  for (const device of devices) (device.on !== undefined && placed.get(device.on) || homeless).push(device);
  for (const { name } of homeless.sort(byAge)) move(name, outermost(takers, (id) => -load.get(id)!));

  const movable = new Map<string, Iterator<Placed>>();
  for (;;) {
    const to = outermost(takers, (id) => -load.get(id)!);
    // One whose devices of this fleet have all moved has those of other fleets.
    const givers = takers.filter(({ id }) => placed.get(id)!.length > 0);
    if (givers.length === 0) return moves;
    const from = outermost(givers, (id) => load.get(id)!);
    if (load.get(from)! - load.get(to)! <= difference) return moves;
    if (!movable.has(from)) movable.set(from, placed.get(from)!.toSorted(byAge).values());
    const next = movable.get(from)!.next();
    if (next.done) placed.set(from, []);
    else {
      load.set(from, load.get(from)! - 1);
      move(next.value.name, to);
    }
  }
}

/** The host with the highest value; of several the first one. */
function outermost(hosts: readonly Host[], valueOf: (id: string) => number): string {
  let best = hosts[0].id;
  for (const { id } of hosts) if (valueOf(id) > valueOf(best)) best = id;
  return best;
}

/** Those that came to their place first; of several, in the order of their names. */
function byAge(a: Placed, b: Placed): number {
  return (a.since ?? Infinity) === (b.since ?? Infinity)
    ? compare(a.name, b.name)
    : (a.since ?? Infinity) - (b.since ?? Infinity);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
