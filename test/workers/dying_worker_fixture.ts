import process from "node:process";
import { serveOrders } from "../../runtime/host/task_thread.ts";

serveOrders(() => process.exit(3));
