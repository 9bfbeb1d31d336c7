import type { JsonObject } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";
import { textOfValue, valueOfText } from "../../language/fields/field_value.ts";
import { attributes, type Markup, markup } from "../console/markup.ts";

/** A field of a form for display. */
export interface ShownField {
  name: string;
  field: Field;
  /** Its text. */
  text: string;
  /** What is wrong with the text. */
  problem?: string;
}

/** Up to this many choices are shown as radio buttons. */
const MOST_RADIOS = 7;
const YES_NO = [{ value: "true", label: "Yes" }, { value: "false", label: "No" }];
/** Format hints for people who do not know the format. */
const FORMATS: Partial<Record<Field["type"], string>> = {
  duration: "Such as 30m, 2h or 3d",
  ip: "Such as 192.0.2.1 or 2001:db8::1",
  secret: "The name of a secret; its value is not shown",
};
/** What the lines of a list are, if they are not plain text. */
const ITEMS: Partial<Record<Field["type"], string>> = {
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  duration: "a duration such as 30m",
  date: "a date such as 2027-01-31",
  email: "an e-mail address",
  url: "a URL",
  ip: "an IP address",
  port: "a port",
  path: "a path",
};

/** One question: its label, help, problem and input, linked for screen readers. */
export function fieldMarkup(shown: ShownField): Markup {
  const { name, field, problem } = shown;
  const help = [field.help, formatOf(field)].filter((part) => part !== undefined).join("\n");
  const ids = [...help ? [`${idOf(name)}-help`] : [], ...problem ? [`${idOf(name)}-error`] : []];
  const described = { "aria-describedby": ids.join(" ") || undefined, "aria-invalid": problem ? "true" : undefined };
  const title = markup`${labelOf(name, field)}${!field.required && markup` <span class="soft">(optional)</span>`}`;
  const notes = [
    help && markup`<p class="help" id="${idOf(name)}-help">${help}</p>\n`,
    problem && markup`<p class="error" id="${idOf(name)}-error">${problem}</p>\n`,
  ];
  const choices = radiosOf(field);
  const look = problem ? "field wrong" : "field";
  if (choices === undefined) {
    return markup`<div class="${look}">
<label for="${idOf(name)}">${title}</label>
${notes}${input(shown, described)}
</div>
`;
  }
  return markup`<fieldset role="radiogroup" class="${look}"${attributes(described)}>
<legend>${title}</legend>
${notes}${choices.map((choice, index) => radio(shown, choice, index))}</fieldset>
`;
}

/** The id of a field's input, or of the first of them: the target of links from problems. */
export function idOf(name: string): string {
  return `field-${name}`;
}

/** The label of a field without a title: `orderId` becomes "Order id". */
export function labelOf(name: string, { title }: Field): string {
  if (title !== undefined) return title;
  const words = name.replaceAll("_", " ").replaceAll(/([a-z0-9])([A-Z])/g, (_, a, b) => `${a} ${b.toLowerCase()}`)
    .trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * The values that were typed; empty ones are left out. One that was filled in and then cleared is null, which means not set.
 * @param filled the fields that the page fills in; by default those that have a default
 */
export function typedValues(
  fields: Record<string, Field>,
  inputs: Record<string, string>,
  filled = (name: string) => fields[name].default !== undefined,
): JsonObject {
  const values: JsonObject = {};
  for (const [name, field] of Object.entries(fields)) {
    const value = valueOfText(field, textIn(inputs, name));
    if (value !== undefined) values[name] = value;
    else if (Object.hasOwn(inputs, name) && filled(name)) values[name] = null;
  }
  return values;
}

/** The texts of values in their inputs. */
export function textsOf(values: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, textOfValue(value)]));
}

/** The texts with which a form opens: the defaults of its fields. */
export function defaultTexts(fields: Record<string, Field>): Record<string, string> {
  const defaults = Object.entries(fields).flatMap(([name, { default: value }]) => {
    return value === undefined ? [] : [[name, value] as const];
  });
  return textsOf(Object.fromEntries(defaults));
}

/** The fields of a form with their texts and problems. */
export function shownFields(
  fields: Record<string, Field>,
  texts: Record<string, string>,
  problems: Record<string, string> = {},
): ShownField[] {
  return Object.entries(fields).map(([name, field]) => ({
    name,
    field,
    text: textIn(texts, name),
    ...Object.hasOwn(problems, name) && { problem: problems[name] },
  }));
}

/** Problems as they stand beside their fields: without the names of the fields. */
export function problemsBeside(problems: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(problems).map(([name, problem]) => [name, problemBeside(name, problem)]));
}

function problemBeside(name: string, problem: string): string {
  const missing = `${name} is missing: expected `;
  const own = `${name}: `;
  if (problem.startsWith(missing)) return `A value is needed: expected ${problem.slice(missing.length)}`;
  const text = problem.startsWith(own) ? problem.slice(own.length) : problem;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The text that was typed into a field. Its name may be that of a property which every object has. */
export function textIn(inputs: Record<string, string>, name: string): string {
  return Object.hasOwn(inputs, name) ? inputs[name] : "";
}

/**
 * All problems in one place, which has the focus when the page opens; each links to its field.
 * @param what is not valid, such as "answer"
 */
export function problemSummary(fields: ShownField[], what: string): Markup | false {
  const wrong = fields.filter(({ problem }) => problem !== undefined);
  if (wrong.length === 0) return false;
  const items = wrong.map(({ name, field, problem }) =>
    markup`<li><a href="#${idOf(name)}">${labelOf(name, field)}: ${problem}</a></li>\n`
  );
  return markup`<div class="summary" role="alert" tabindex="-1" autofocus aria-labelledby="summary">
<h2 id="summary">${wrong.length === 1 ? `One ${what} is not valid` : `${wrong.length} ${what}s are not valid`}</h2>
<ul>
${items}</ul>
</div>`;
}

function formatOf({ type, of, under }: Field): string | undefined {
  if (type === "path") {
    return under === undefined ? "A relative path, such as reports/may.csv" : `A path below ${under}`;
  }
  if (type !== "list") return FORMATS[type];
  const choices = of?.choices?.map(textOfValue).join(", ");
  const item = choices === undefined ? of && ITEMS[of.type] : `one of ${choices}`;
  return `One on each line${item === undefined ? "" : `: ${item}`}`;
}

interface Choice {
  value: string;
  label: string;
}

function choicesOf({ choices = [] }: Field): Choice[] {
  return choices.map((choice) => ({ value: textOfValue(choice), label: textOfValue(choice) }));
}

/** Whether a value is one of a few. */
function hasChoices({ type, choices }: Field): boolean {
  return type !== "list" && choices !== undefined;
}

function radiosOf(field: Field): Choice[] | undefined {
  const choices = field.type === "boolean" ? YES_NO : hasChoices(field) ? choicesOf(field) : undefined;
  if (choices === undefined || choices.length > MOST_RADIOS) return undefined;
  return field.required ? choices : [...choices, { value: "", label: "No answer" }];
}

function radio({ name, field, text }: ShownField, { value, label }: Choice, index: number): Markup {
  const id = index === 0 ? idOf(name) : `${idOf(name)}-${index}`;
  const own = {
    id,
    name,
    value,
    checked: text === value && (value !== "" || !field.required),
    required: field.required,
  };
  return markup`<label class="choice" for="${id}"><input type="radio"${
    attributes(own)
  }><span>${label}</span></label>\n`;
}

/** Types and limits for the browser's own help; the server's check is what counts. */
function input({ name, field, text }: ShownField, described: Record<string, string | undefined>): Markup {
  const { type, required, min, max, pattern, lines = 1 } = field;
  const common = { id: idOf(name), name, required, ...described };
  const lengths = { minlength: min, maxlength: max, pattern };
  const one = (own: Parameters<typeof attributes>[0]) =>
    markup`<input${attributes({ ...common, value: text, ...own })}>`;
  if (hasChoices(field)) return select(choicesOf(field), text, required ? "Choose one" : "No answer", common);
  switch (type) {
    case "number":
      return one({ type: "number", step: "any", inputmode: "decimal", min, max });
    case "integer":
      return one({ type: "number", step: "1", inputmode: "numeric", min, max });
    case "port":
      return one({ type: "number", step: "1", inputmode: "numeric", min: min ?? 1, max: max ?? 65_535 });
    case "date":
      return one({ type: "date" });
    case "email":
      return one({ type: "email", autocomplete: "email", ...lengths });
    case "url":
      return one({ type: "url", autocomplete: "url", placeholder: "https://", ...lengths });
    case "duration":
    case "ip":
    case "path":
      return one({ type: "text", autocapitalize: "none", autocomplete: "off" });
    case "list":
      return area(text, { ...common, rows: 4 });
    case "file":
      return markup`<input${attributes({ ...common, type: "file" })}>`;
    case "choice":
    case "secret":
    case "boolean":
    case "text":
      return lines > 1 ? area(text, { ...common, rows: lines, ...lengths }) : one({ type: "text", ...lengths });
  }
}

function select(choices: Choice[], text: string, none: string, own: Parameters<typeof attributes>[0]): Markup {
  const options = [{ value: "", label: none }, ...choices].map(({ value, label }) =>
    markup`<option${attributes({ value, selected: value === text })}>${label}</option>\n`
  );
  return markup`<select${attributes(own)}>
${options}</select>`;
}

/** A browser drops a line break at the very start of a textarea, so one is added. */
function area(text: string, own: Parameters<typeof attributes>[0]): Markup {
  return markup`<textarea${attributes(own)}>
${text}</textarea>`;
}
