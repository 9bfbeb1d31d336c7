import assert from "node:assert/strict";
import { findShellExpression } from "../../runtime/language/checker/check_args.ts";

const code: [unknown, number[]][] = [
  ["echo ${{ x }}", []],
  [["sh", "-c", "echo ${{ x }}"], [2]],
  [["/bin/bash", "-lc", "${{ x }}"], [2]],
  [["env", "A=1", "zsh", "-e", "-c", "echo ${{ x }}"], [5]],
  [["cmd.exe", "/c", "echo ${{ x }}"], [2]],
  [["pwsh", "-Command", "echo ${{ x }}"], [2]],
  [["python3", "-c", "print('${{ x }}')"], [2]],
  [["node", "--eval", "console.log('${{ x }}')"], [2]],
];

for (const [command, path] of code) {
  Deno.test(`${JSON.stringify(command)} would execute the value of the expression`, () => {
    assert.deepEqual(findShellExpression(command)?.path, path);
  });
}

for (
  const command of [
    "echo hi",
    ["echo", "${{ x }}"],
    ["sh", "-c", 'echo "$1"', "sh", "${{ x }}"],
    ["sh", "./script.sh", "${{ x }}"],
    ["grep", "-c", "${{ x }}", "file"],
    ["git", "commit", "-m", "${{ x }}"],
  ]
) {
  Deno.test(`${JSON.stringify(command)} passes it as data`, () =>
    assert.equal(findShellExpression(command), undefined));
}
