import { getPriority, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { giveWay } from "../../runtime/host/large_work.ts";

if (workerData.before > 0) setPriority(workerData.before);
giveWay();
parentPort!.postMessage(getPriority());
