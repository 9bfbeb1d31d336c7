import { serveTasks } from "./background.ts";
import { storeTasks } from "./tasks.ts";

serveTasks(storeTasks);
