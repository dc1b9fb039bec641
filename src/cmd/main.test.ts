// The program as a whole, as far as it needs no cluster.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";

const MAIN = new URL("main.ts", import.meta.url).pathname;

async function run(argv: readonly string[], { readsOutput = true } = {}) {
  const child = spawn(process.execPath, [MAIN, ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { CNI_AGENT_RUN_DIR: "/var/empty/no-agent" },
    timeout: 60_000,
  });
  const output = { stdout: "", stderr: "" };
  if (!readsOutput) child.stdout.destroy();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  const [status]: unknown[] = await once(child, "close");
  return { status, ...output };
}

describe("install-cni", () => {
  it("does not mind a reader that has seen enough", async () => {
    for (const argv of [["help"], ["version"], ["config"]]) {
      assert.deepEqual(await run(argv, { readsOutput: false }), { status: 0, stdout: "", stderr: "" }, argv.join(" "));
    }
  });

  it("ends with 2 where status and explain cannot tell, and with 1 for other wrong command lines", async () => {
    for (const argv of [["status"], ["explain", "shop/web"], ["explain", "shop"], ["status", "--nope"], ["explain"]]) {
      const { status, stdout, stderr } = await run(argv);
      assert.deepEqual([status, stdout], [2, ""], argv.join(" "));
      assert.match(stderr, /^Cannot .+\n$/, argv.join(" "));
    }
    assert.equal((await run(["version", "--nope"])).status, 1);
    assert.equal((await run(["nope"])).status, 1);
  });
});
