/** Text with an expression, whose value is known later: `${{ config.every }}`. */
type Expression = `${string}\${{${string}}}${string}`;

/** A length of time: `250ms`, `30s`, `5m`, `2h`, `3d`, ISO 8601 such as `PT90S`, or an expression that gives one. */
export type Duration = `${number}${"ms" | "s" | "m" | "h" | "d"}` | `P${string}` | Expression;

/** How often something may happen: `10/s`, `100/m`, `5/h`, `1/d`, or an expression that gives it. */
export type Rate = `${number}/${"s" | "m" | "h" | "d"}` | Expression;

/** A point in time: RFC 3339, a day, or a time of day such as `09:00` or `09:00:30`. */
type Moment = `${number}-${number}-${number}${string}` | `${number}:${number}` | `${number}:${number}:${number}`;

/** Text that code computes is any; text that is written out is a duration or a point in time. */
export type Due<Text extends string> = string extends Text ? string : Text & (Duration | Moment);
