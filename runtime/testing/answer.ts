import type { JsonObject } from "../model/json.ts";
import type { Person } from "../model/person.ts";
import { isStep } from "../language/checker/step_names.ts";
import { answerForm, type FormAnswered } from "../engine/answer_form.ts";
import { TestFailed } from "./test_failed.ts";
import type { World } from "./world.ts";

/** How many forms are searched. */
const MOST = 1_000;

/** The contents of an entry `answer`. */
export interface Answering {
  /** The form's step. */
  answer: string;
  as?: string;
  with: JsonObject;
  refused?: "forbidden" | "closed" | "invalid";
}

/** Somebody answers a form; acceptance or refusal must be as the test expects. */
export async function answer(world: World, { answer: step, as, with: values, refused }: Answering): Promise<void> {
  const { store, clock, runner } = world;
  const open = await store.listForms({ state: "open", limit: MOST });
  const forms = refused === "closed" ? await store.listForms({ limit: MOST }) : open;
  const form = forms.findLast((form) => isStep(step, form.step));
  if (form === undefined) {
    const there = open.map((form) => form.step).join(", ") || "none";
    throw new TestFailed(`There is no open form "${step}"; open are: ${there}`);
  }
  const person = personOf(world, as, form.to);
  const options = { store, clock, onWoken: (runs: string[]) => runner.woken(runs) };
  const answered = await answerForm(options, form.id, person, { values, via: "page" });
  const became = answered.kind === "accepted" ? undefined : answered.kind;
  if (became === refused) return;
  if (became === undefined) throw new TestFailed(`The answer of ${person.id} was taken, not refused as ${refused}`);
  throw new TestFailed(`The answer of ${person.id} was refused: ${reasonOf(answered)}`);
}

/** An operator ends a wait. */
export async function skip(world: World, step: string): Promise<void> {
  const { store, clock, runner } = world;
  const runs = (await store.listRuns({ waiting: true, limit: MOST })).filter(({ waits = [] }) =>
    waits.some((wait) => isStep(step, wait.step))
  );
  const [run] = runs;
  const wait = run?.waits?.find((wait) => isStep(step, wait.step));
  if (wait === undefined) throw new TestFailed(`No run waits in step "${step}"`);
  const operated = await store.skipWait(run.id, wait.step, "test", clock.now());
  if (operated?.kind === "refused") {
    throw new TestFailed(`The wait of step "${step}" cannot be skipped: ${operated.reason}`);
  }
  runner.woken([run.id]);
}

function personOf({ people }: World, name: string | undefined, to: string[]): Person {
  if (name === undefined) {
    const [first] = people.find(to);
    if (first !== undefined) return first;
    throw new TestFailed(`Nobody is ${to.join(" or ")}; say who, as in people: { ${to[0]}: [anna] }`);
  }
  // A person who is not in the settings.
  return people.get(name) ?? { id: name, name, groups: [] };
}

function reasonOf(answered: FormAnswered): string {
  switch (answered.kind) {
    case "forbidden":
      return `forbidden, as the form is for ${answered.form.to.join(", ")}`;
    case "invalid":
      return `invalid, ${
        Object.entries(answered.problems).map(([field, problem]) => `${field}: ${problem}`).join("; ")
      }`;
    default:
      return answered.kind;
  }
}
