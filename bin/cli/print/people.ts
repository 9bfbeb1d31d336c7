import type { Person } from "../../../runtime/model/person.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** A person in listings: says whether there is a password, but never shows its hash. */
export type ListedPerson = Omit<Person, "password" | "token"> & { password: boolean; token: boolean };

/** Prints people as a table. */
export function printPeople(terminal: Terminal, people: ListedPerson[]): void {
  if (people.length === 0) return terminal.write("Nobody yet; add somebody with: whenthen people add ID\n");
  const rows = people.map(({ id, name, email = "", groups, password, token }) => {
    const by = [...password ? ["password"] : [], ...token ? ["token"] : []].join(", ") || "links";
    return [id, name, email, by, groups.join(", ")];
  });
  printTable(terminal, ["ID", "NAME", "E-MAIL", "COMES BY", "GROUPS"], rows);
}
