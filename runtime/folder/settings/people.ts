import { z } from "zod";
import { parseAddress } from "../../actions/mail/mailer.ts";
import type { Person } from "../../model/form.ts";
import { isPasswordHash, isTokenHash } from "../../secrets/passwords.ts";

/** A person's id, or a group's name: the entries of `to:` that are no e-mail addresses. */
const ID = /^[A-Za-z0-9][\w.-]*$/;
const NAME = "letters, digits, _, - and .";
const REMEDY = "make one with: whenthen people add";

const text = (expected: string) => z.string({ error: `expected ${expected}` }).trim().min(1, `expected ${expected}`);
const group = text("the name of a group").regex(ID, `expected the name of a group: ${NAME}`);

const email = "expected an e-mail address";

/** One entry of `people`. */
export const personSchema = z.strictObject({
  name: text("a name").optional(),
  email: z.string({ error: email }).refine((text) => parseAddress(text)?.address === text, { error: email }).optional(),
  groups: z.array(group, { error: "expected a list of groups" }).default([]),
  password: z.string().refine(isPasswordHash, { error: `expected the hash of a password; ${REMEDY}` }).optional(),
  token: z.string().refine(isTokenHash, { error: `expected the hash of a token; ${REMEDY} --token` }).optional(),
}, { error: "expected a person, such as { name: Anna, email: anna@example.org, groups: [finance] }" });

/** `people`: who answers forms, by id. */
export const peopleSchema = z.record(z.string().regex(ID, `expected an id of a person: ${NAME}`), personSchema, {
  error: "expected people by their ids, such as anna: { name: Anna, email: anna@example.org }",
}).transform((people, context): Person[] => {
  const listed = Object.entries(people).map(([id, person]) => ({ ...person, id, name: person.name ?? id }));
  for (const conflict of findConflicts(listed)) context.addIssue({ code: "custom", ...conflict });
  return listed;
});

/** What `to:` may contain besides e-mail addresses: ids, then groups. */
export function namesOf(people: Person[]): string[] {
  return [...new Set([...people.map(({ id }) => id), ...people.flatMap(({ groups }) => groups)])];
}

interface Conflict {
  path: (string | number)[];
  message: string;
}

/** Finds duplicates that make a person ambiguous. */
function findConflicts(people: Person[]): Conflict[] {
  const conflicts: Conflict[] = [];
  const emails = new Map<string, string>();
  const tokens = new Map<string, string>();
  const ids = new Set(people.map(({ id }) => id));
  for (const { id, email, groups, token } of people) {
    const sharedEmail = email && emails.get(email.toLowerCase());
    if (sharedEmail) conflicts.push({ path: [id, "email"], message: `${sharedEmail} has this address too` });
    const sharedToken = token && tokens.get(token);
    if (sharedToken) conflicts.push({ path: [id, "token"], message: `${sharedToken} has this token too` });
    for (const [index, group] of groups.entries()) {
      if (!ids.has(group)) continue;
      const message = `"${group}" is a person: a group needs a name of its own`;
      conflicts.push({ path: [id, "groups", index], message });
    }
    if (email) emails.set(email.toLowerCase(), id);
    if (token) tokens.set(token, id);
  }
  return conflicts;
}
