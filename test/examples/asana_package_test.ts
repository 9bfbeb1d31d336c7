// The package has its tests beside it, as one that is shipped on its own would; here they run with all others.
import "../../examples/packages/asana/test/actions_test.ts";
import "../../examples/packages/asana/test/config_test.ts";
import "../../examples/packages/asana/test/hook_test.ts";
import "../../examples/packages/asana/test/stories_test.ts";
import "../../examples/packages/asana/test/tasks_test.ts";
