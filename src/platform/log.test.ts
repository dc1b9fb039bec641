import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { openLogSink } from "./log.ts";

const folder = mkdtempSync(join(tmpdir(), "log-sink-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const MODULE = new URL("log.ts", import.meta.url).href;

/** Runs a script with `openLogSink` imported, its standard output behind a shell's pipe into `reader`. */
function runPiped(script: string, reader: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const source = `import { openLogSink } from ${JSON.stringify(MODULE)};\n${script}`;
  // The shell is what makes a FIFO of standard output; Node alone would make a socket.
  const child = spawn(
    "/bin/sh",
    ["-c", `"$0" --input-type=module-typescript -e "$1" | ${reader}`, process.execPath, source],
    {
      timeout: 120_000,
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}

describe("openLogSink()", () => {
  it("appends lines to a file that only its owner may read", () => {
    const path = join(folder, "a.log");
    const { sink, problems } = openLogSink([path, path]);
    sink.write("one");
    sink.write("zwei ü");
    sink.close();
    sink.close();
    sink.write("late");
    assert.deepEqual(problems, []);
    assert.equal(readFileSync(path, "utf8"), "one\nzwei ü\n");
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(sink.dropped(), 1);
  });

  it("names a target that cannot be opened and goes on with the others", () => {
    const path = join(folder, "b.log");
    const { sink, problems } = openLogSink([join(folder, "none", "x.log"), path]);
    sink.write("still");
    sink.close();
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", /^Cannot log to .*none\/x\.log: ENOENT/);
    assert.equal(readFileSync(path, "utf8"), "still\n");
  });

  it("does not wait for the reader of a pipe that is named by its path, nor for one that has stopped", () => {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    const script = `
      import { constants, openSync } from "node:fs";
      import { openLogSink } from ${JSON.stringify(MODULE)};
      const path = ${JSON.stringify(path)};
      console.log(openLogSink([path, "stderr"]).problems[0]);
      openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const { sink } = openLogSink([path]);
      for (let n = 0; n < 4000; n++) sink.write("x".repeat(1000));
      console.log(sink.dropped() > 2000);
      sink.close();`;
    const args = ["--input-type=module-typescript", "-e", script];
    const stdout = execFileSync(process.execPath, args, { timeout: 60_000, encoding: "utf8" });
    assert.match(stdout, /^Cannot log to .*\/pipe: ENXIO: .*\ntrue\n$/);
  });

  it("counts lines that a full disk refuses", () => {
    const { sink } = openLogSink(["/dev/full"]);
    sink.write("x");
    sink.write("y");
    assert.equal(sink.dropped(), 2);
    sink.close();
  });

  it("writes whole lines to a pipe", async () => {
    const script = `const { sink } = openLogSink(["stdout"]); for (let n = 0; n < 100; n++) sink.write("line " + n); sink.close();`;
    const { stdout } = await runPiped(script, "cat");
    assert.equal(stdout, Array.from({ length: 100 }, (_, n) => `line ${n}\n`).join(""));
  });

  it("does not stand still when a pipe's reader does, and loses whole lines only", async () => {
    // The reader does not read before it is told by a file that the writer has returned.
    const flag = join(folder, "returned");
    const script = `
      import { writeFileSync } from "node:fs";
      const { sink } = openLogSink(["stdout"]);
      for (let n = 0; n < 4000; n++) sink.write(String(n).padStart(8, "0") + "x".repeat(1000));
      const dropped = sink.dropped();
      writeFileSync(${JSON.stringify(flag)}, "");
      // Until the pipe takes lines again, and then until the reader has seen one and gone.
      let isTaken = false;
      const poll = setInterval(() => {
        const before = sink.dropped();
        sink.write("end");
        if (sink.dropped() === before) isTaken = true;
        else if (isTaken) clearInterval(poll);
      }, 20);
      console.error(dropped);`;
    const { stdout, stderr } = await runPiped(
      script,
      `{ while [ ! -e '${flag}' ]; do sleep 0.05; done; sed /^end/q; }`,
    );
    const dropped = Number(stderr.trim());
    assert.ok(dropped > 2000 && dropped < 4000, stderr);
    const lines = stdout.trimEnd().split("\n");
    assert.equal(lines.filter((line) => /^\d{8}x{1000}$/.test(line)).length, 4000 - dropped);
    assert.equal(lines.at(-1), "end");
    assert.ok(lines.every((line) => line === "end" || line.length === 1008));
  });

  it("outlives a reader that has gone", async () => {
    const script = `
      const { sink } = openLogSink(["stdout"]);
      const poll = setInterval(() => {
        sink.write("x".repeat(1000));
        if (sink.dropped() > 3) { clearInterval(poll); console.error("alive"); }
      }, 10);`;
    assert.equal((await runPiped(script, "true")).stderr.trim(), "alive");
  });
});
