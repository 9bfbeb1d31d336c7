/** The machine's own. */
const RealDate = Date;
let now: number | undefined;

/**
 * Makes `Date` tell a time of a simulated clock, where it stands until it is told another, in all code of this worker. Undefined lets it
 * tell the machine's.
 */
export function simulateDate(time: number | undefined): void {
  now = time;
  if (now !== undefined && globalThis.Date === RealDate) globalThis.Date = SimulatedDate;
}

const SimulatedDate = new Proxy(RealDate, {
  construct(target, args, newTarget) {
    return Reflect.construct(target, args.length === 0 && now !== undefined ? [now] : args, newTarget);
  },
  apply: (target) => (now === undefined ? new target() : new target(now)).toString(),
  get: (target, name) => name === "now" ? () => now ?? target.now() : Reflect.get(target, name),
});
