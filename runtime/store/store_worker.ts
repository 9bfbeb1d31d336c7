import { serveTasks } from "./background_thread.ts";
import { storeTasks } from "./tasks.ts";

serveTasks(storeTasks);
