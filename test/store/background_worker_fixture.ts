import { serveTasks } from "../../runtime/store/background.ts";
import { fixtureTasks } from "./background_tasks_fixture.ts";

serveTasks(fixtureTasks);
