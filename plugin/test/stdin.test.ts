// A runtime that opens stdin and then says nothing more.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { ADD_ENVIRONMENT, netconf, pluginPath } from "./run-plugin.ts";

async function runWithOpenStdin(command: string): Promise<[number | null, string]> {
  const child = spawn(pluginPath("shipped"), [], {
    env: { ...ADD_ENVIRONMENT, CNI_COMMAND: command },
    stdio: ["pipe", "pipe", "ignore"],
    timeout: 30_000,
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk;
  });
  child.stdin.write(netconf());
  const [exitCode] = (await once(child, "close")) as [number | null];
  child.stdin.destroy();
  return [exitCode, stdout];
}

test("the plugin waits 10 seconds for the end of stdin; then ADD fails with code 5 and DEL succeeds", async () => {
  const [[addCode, addOutput], del] = await Promise.all([runWithOpenStdin("ADD"), runWithOpenStdin("DEL")]);
  assert.equal(addCode, 1);
  assert.equal((JSON.parse(addOutput) as { code: number }).code, 5);
  assert.deepEqual(del, [0, ""]);
});

test("the plugin answers when stdin, stdout or stderr are closed, and never writes into another descriptor", async () => {
  for (const [redirection, exitCode, output] of [
    ["<&-", 1, /"code": 6/],
    [">&-", 0, /^$/],
    ["2>&-", 0, /^\{"cniVersion":"1\.0\.0"\}\n$/],
  ] as const) {
    const child = spawn("sh", ["-c", `exec "$0" ${redirection}`, pluginPath("shipped")], {
      env: { ...ADD_ENVIRONMENT, CNI_ARGS: "" },
      stdio: ["pipe", "pipe", "ignore"],
      timeout: 30_000,
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(netconf());
    const [code] = (await once(child, "close")) as [number | null];
    assert.equal(code, exitCode, redirection);
    assert.match(stdout, output);
  }
});
