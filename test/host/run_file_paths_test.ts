import assert from "node:assert/strict";
import { foldersNamedIn, withLocalPaths } from "../../runtime/host/run_file_paths.ts";

const HERE = "/var/tmp/whenthen-0123456789abcdef-2/files";
const THERE = "/home/of anna/.cache/whenthen-0123456789abcdef/files".replace("of anna", "anna");
const RUN = "1k0rjzn5r00000p6j213";

Deno.test("paths of files that another replica has recorded are those of this machine, wherever they stand in the values", () => {
  const values = {
    run: `sort "${THERE}/${RUN}/aa/a b.csv" > /tmp/out && cat ${HERE}/${RUN}/bb/c`,
    with: { list: [`${THERE}/.uploads/k1/x.pdf`, 3, null], none: "/files/1/x" },
  };
  const local = withLocalPaths(values, HERE);
  assert.deepEqual(local, {
    run: `sort "${HERE}/${RUN}/aa/a b.csv" > /tmp/out && cat ${HERE}/${RUN}/bb/c`,
    with: { list: [`${HERE}/.uploads/k1/x.pdf`, 3, null], none: "/files/1/x" },
  });
  assert.deepEqual(foldersNamedIn(local, HERE), [RUN, ".uploads/k1"]);
});

Deno.test("paths of other databases and folders stay as they are", () => {
  const others = ["/var/tmp/whenthen-fedcba9876543210/files/1/x", `/var/tmp/whenthen-0123456789abcdef/${RUN}/x`];
  assert.deepEqual(withLocalPaths(others, HERE), others);
  assert.deepEqual(foldersNamedIn(others, HERE), []);
});
