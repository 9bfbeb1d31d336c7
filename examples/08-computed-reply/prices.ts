/** A helper: a file without a rule. Its exports are called from YAML as `./prices.ts#sums`, with `with` as the argument. */
export function sums({ items, vat }: { items: { price: number; count: number }[]; vat: number }) {
  const net = items.reduce((total, { price, count }) => total + price * count, 0);
  return { net: cents(net), gross: cents(net * (1 + vat / 100)) };
}

function cents(amount: number): number {
  return Math.round(amount * 100) / 100;
}
