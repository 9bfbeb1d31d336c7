import { serveTasks, storeTasks } from "./background.ts";

serveTasks(storeTasks);
