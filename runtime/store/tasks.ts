import { IdentityPacker } from "./history/identities.ts";
import { mergeIds, writeIds } from "./history/ids_file.ts";
import type { EventHeader, MoreHeader, RunHeader } from "./history/lines.ts";
import { readPart } from "./history/part_reader.ts";
import { PartWriter } from "./history/part_writer.ts";
import type { FoldHooks } from "./log/sinks.ts";
import { logTasks } from "./log/tasks.ts";

/** How a fold makes a part and an ids file, and a merge one ids file of many. */
const hooks: FoldHooks = {
  async openHistory({ first, last }, expected) {
    const writer = await PartWriter.create(first, expected);
    return {
      event: (header, text) => writer.event(JSON.parse(header) as EventHeader, text),
      run: (header, text) => writer.run(JSON.parse(header) as RunHeader, text),
      more: (header, text) => writer.more(JSON.parse(header) as MoreHeader, text),
      finish: () => writer.finish(last),
      discard: () => writer.discard(),
    };
  },
  openIds() {
    const packer = new IdentityPacker();
    return Promise.resolve({
      id(hash, text) {
        const [event, at, within, runs, flags] = JSON.parse(text);
        packer.add(hash, { event, at, within, runs, flags });
      },
      finish: () => writeIds(packer.finish()),
    });
  },
  mergeIds: (files, expiry) => mergeIds(files, expiry),
};

/** What the store does beside the main thread. */
export const storeTasks = { ...logTasks(hooks), readPart };
