import type { Loaded } from "../../runtime/folder/loaded.ts";
import { setConfig, setOnPages } from "../../runtime/folder/settings/config_layers.ts";
import type { UpperValue } from "../../runtime/model/config.ts";
import type { Person } from "../../runtime/model/form.ts";
import { TestFolder } from "../folder/loading.ts";
import { type Bench, openBench } from "./harness.ts";

/** The HTTP side over rules that are loaded from files, again after each change of their config. */
export interface ConfigBench extends AsyncDisposable {
  bench: Bench;
  folder: TestFolder;
  loaded: () => Loaded;
  /** Loads again, as after a file has changed. */
  reload(): Promise<Loaded>;
}

/** @param options `set`: values of `--set`; `sourced`: those of a source */
export async function openConfigBench(
  files: Record<string, string>,
  people: Person[],
  { set = [], sourced = [] }: { set?: UpperValue[]; sourced?: UpperValue[] } = {},
): Promise<ConfigBench> {
  const folder = await TestFolder.with(files, { set });
  const bench = await openBench([], { tokenless: false, tokens: ["operators-token"] });
  const { context, store, clock } = bench;
  bench.people.push(...people);
  let loaded: Loaded | undefined;
  const reload = async () => {
    return loaded = await folder.loader.load(loaded, [...sourced, ...setOnPages(await store.listConfig())]);
  };
  await reload();
  const rest = context.rules();
  context.rules = () => ({ ...rest, rules: loaded!.rules, broken: loaded!.broken, configs: loaded!.configs });
  context.setConfig = (rule, setting) =>
    setConfig({ clock, store, configs: loaded!.configs, log: () => {}, reload }, rule, setting);
  return {
    bench,
    folder,
    loaded: () => loaded!,
    reload,
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}
