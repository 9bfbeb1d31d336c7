import { serveTasks } from "../../runtime/store/background_thread.ts";
import { fixtureTasks } from "./background_tasks_fixture.ts";

serveTasks(fixtureTasks);
