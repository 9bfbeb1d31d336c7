import { evaluate, ExpressionError } from "../../language/expressions/expression.ts";
import { columnsOf, FormatError, type FormatName } from "../../formats/format.ts";

/** How a web page begins, after an XML declaration and comments. */
const WEB_PAGE = /^(<\?xml[^>]*>\s*)?(<!--[^]*?-->\s*)*<(!doctype\s+html|html|head|body)[\s>]/i;

/**
 * Checks that a text can be the expected `csv` or `lines`. An error page can be parsed as those too, and then every row would
 * count as removed.
 * @throws FormatError for an empty text and for a web page
 */
export function expectTable(text: string, format: FormatName, contentType = ""): void {
  if (format !== "csv" && format !== "lines") return;
  const start = text.slice(0, 4_000).trimStart();
  if (start === "" && text.trim() === "") throw new FormatError(`expected ${format}, got nothing`);
  if (WEB_PAGE.test(start) || (/\bhtml\b/i.test(contentType) && start.startsWith("<"))) {
    throw new FormatError(`expected ${format}, got a web page: ${JSON.stringify(`${start.slice(0, 60)}…`)}`);
  }
}

/**
 * Checks that a CSV text without rows has the columns that the key needs. If there are rows, a missing key is found when the
 * keys are read.
 * @throws FormatError
 */
export function expectColumns(text: string, key: string): void {
  const columns = columnsOf(text);
  try {
    evaluate(key, { item: Object.fromEntries(columns.map((name) => [name, ""])), index: 0 });
  } catch (error) {
    if (!(error instanceof ExpressionError) || error.missing === undefined) return;
    const found = JSON.stringify(columns.join(",").slice(0, 200));
    throw new FormatError(`expected csv with the columns of "key: ${key}", got the header row ${found}`);
  }
}
