import { startCodeWorker } from "../../runtime/host/code_worker.ts";

/** A program with a looping worker; prints the worker's process. */
const worker = startCodeWorker(new URL("./code_worker_fixture.ts", import.meta.url), {
  data: null,
  env: {},
  heapLimit: 1e8,
  onMessage: (message) => {
    worker.post("loop");
    console.log((message as { pid: number }).pid);
  },
  onEnd: () => {},
});
