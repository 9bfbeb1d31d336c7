import { type Colour, fit, oneLine, paint, type Terminal } from "./terminal.ts";

/** A cell: text, or text in a colour. */
export type Cell = string | { text: string; colour?: Colour };

const GAP = "  ";

/**
 * Prints aligned columns. On a terminal the last column, with the longest texts, is cut to the remaining width; the other
 * columns keep their full text, because ids are copied from them.
 */
export function printTable(terminal: Terminal, heads: string[], rows: Cell[][]): void {
  const texts = rows.map((row) => row.map((cell) => oneLine(typeof cell === "string" ? cell : cell.text)));
  const widths = heads.map((head, column) => Math.max(head.length, ...texts.map((row) => lengthOf(row[column]))));
  const line = (cells: string[], colourOf: (column: number) => Colour | undefined) => {
    let left = terminal.width;
    const parts = cells.map((text, column) => {
      const last = column === cells.length - 1;
      const shown = last ? fit(text, left) : text + " ".repeat(widths[column] - lengthOf(text));
      left -= widths[column] + GAP.length;
      return paint(terminal, colourOf(column), shown);
    });
    terminal.write(parts.join(GAP).trimEnd() + "\n");
  };
  line(heads, () => "dim");
  for (const [index, row] of rows.entries()) {
    line(texts[index], (column) => {
      const cell = row[column];
      return typeof cell === "string" ? undefined : cell.colour;
    });
  }
}

function lengthOf(text: string): number {
  return [...text].length;
}
