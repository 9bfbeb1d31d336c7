import { textOfValue } from "../../../runtime/language/fields/field_value.ts";
import type { ConfigValue } from "../../../runtime/model/config.ts";
import type { Json } from "../../../runtime/model/json.ts";
import type { ConfigListing } from "../../../runtime/web/config_api.ts";
import { printTable, relativeTime, type Terminal } from "./terminal.ts";

/** Prints config as a table, with where each value comes from, what it overrides, and what is not used. */
export function printConfig(terminal: Terminal, listing: ConfigListing[]): void {
  const rows = listing.flatMap(({ refused, ...entry }) => [
    [entry.key, textOf(entry.value), sayLayers(entry, terminal.now)],
    ...refused
      ? [[
        "",
        { text: textOf(refused.value ?? null), colour: "red" as const },
        { text: `not used: ${refused.reason} (${sayFrom(refused, terminal.now)})`, colour: "red" as const },
      ]]
      : [],
  ]);
  printTable(terminal, ["KEY", "VALUE", "FROM"], rows);
}

function sayLayers({ below, ...value }: ConfigValue, now: number): string {
  const from = sayFrom(value, now);
  return below === undefined ? from : `${from}, over ${textOf(below.value)} (${sayLayers(below, now)})`;
}

/** `page, anna, 2 minutes ago` */
export function sayFrom({ from, by, at }: Omit<ConfigValue, "value">, now: number): string {
  const who = by === undefined ? from : `${from}, ${by}`;
  return at === undefined ? who : `${who}, ${relativeTime(at, now)}`;
}

export function textOf(value: Json): string {
  return value === null ? "-" : textOfValue(value).replaceAll("\n", ", ");
}
