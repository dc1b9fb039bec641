import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { readProcessStats } from "./process-stats.ts";

const MODULE = new URL("lifecycle.ts", import.meta.url).href;

/** A child that says "up" once its handlers stand, and stays alive until its script ends it. */
function start(script: string): {
  child: ChildProcess;
  output: () => string;
  end: Promise<unknown[]>;
  said(text: string): Promise<void>;
} {
  const source = `
    import { watchLifecycle } from ${JSON.stringify(MODULE)};
    import { writeSync } from "node:fs";
    const say = (text: string) => writeSync(1, text + "\\n");
    const lifecycle = watchLifecycle({
      onStop: (signal) => say("stop " + signal),
      onCrash: (kind, error) => say("crash " + kind + " " + (error as Error).message),
    });
    const alive = setInterval(() => {}, 1000);
    ${script}
    say("up");`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", source], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 120_000,
    killSignal: "SIGKILL",
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return {
    child,
    output: () => text,
    end: once(child, "close"),
    said: async (wanted) => {
      while (!text.includes(wanted)) await once(child.stdout, "data");
    },
  };
}

describe("watchLifecycle()", () => {
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    it(`turns the first ${name} into an abort that the process may finish its work after`, async () => {
      const run = start(`lifecycle.signal.addEventListener("abort", () => {
        say(lifecycle.signal.reason.message); clearInterval(alive); lifecycle[Symbol.dispose](); });`);
      await run.said("up");
      run.child.kill(name);
      assert.deepEqual(await run.end, [0, null]);
      assert.equal(run.output(), `up\nstop ${name}\nStopped by ${name}\n`);
    });
  }

  it("ends at once at the second signal", async () => {
    const run = start("");
    await run.said("up");
    run.child.kill("SIGTERM");
    await run.said("stop SIGTERM");
    run.child.kill("SIGINT");
    assert.deepEqual(await run.end, [130, null]);
  });

  it("says what nobody caught and exits with 1", async () => {
    const thrown = start(`setTimeout(() => { throw new Error("boom"); }, 0);`);
    assert.deepEqual(await thrown.end, [1, null]);
    assert.equal(thrown.output(), "up\ncrash uncaughtException boom\n");
    const rejected = start(`setTimeout(() => { void Promise.reject(new Error("bang")); }, 0);`);
    assert.deepEqual(await rejected.end, [1, null]);
    assert.equal(rejected.output(), "up\ncrash unhandledRejection bang\n");
  });
});

describe("readProcessStats()", () => {
  it("tells what the kernel tells", () => {
    const stats = readProcessStats();
    assert.ok(stats.cpuSeconds > 0 && stats.residentBytes > 1e6);
    assert.ok((stats.virtualBytes ?? 0) >= stats.residentBytes);
    assert.ok((stats.openFds ?? 0) >= 3 && (stats.maxFds ?? 0) >= (stats.openFds ?? 0));
    assert.ok(stats.startTimeSeconds <= Date.now() / 1000);
  });
});
