/** The median. */
export function median(values: number[]): number {
  return quantile(values, 0.5);
}

/** The quantile of this share. */
export function quantile(values: number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
}

/** `× 1.4`, `× 0.35`, `× 12`. */
export function ratio(value: number, one: number): string {
  const times = value / one;
  return `× ${times < 1 ? times.toPrecision(2) : times.toFixed(times < 10 ? 1 : 0)}`;
}
