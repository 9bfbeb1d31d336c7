/** The machine's own Date. */
const RealDate = Date;
let now: number | undefined;

/**
 * Makes `Date` return a fixed simulated time in all code of this worker, until the next call. With undefined it returns the
 * machine's time again.
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
