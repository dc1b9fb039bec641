// A runtime that does not read what the plugin prints, or not at once: nothing is lost, and nothing waits for ever.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { until } from "../../testbed/until.ts";
import { ADD_ENVIRONMENT, BUILDS, cniErrorOf, netconf, pluginPath } from "./run-plugin.ts";

for (const build of BUILDS) pluginPath(build);

/** Passes at once, and prints more than any pipe or socket holds. */
const LARGE = { exclude_namespaces: ["shop"], prevResult: { x: "y".repeat(1_000_000) } };
const PASSING = { env: { ...ADD_ENVIRONMENT, ASAN_OPTIONS: "exitcode=99:detect_leaks=0" } };

/** Until the process sleeps in one of these functions of the kernel. */
function untilIn(pid: number | undefined, functions: RegExp): Promise<void> {
  return until(`process ${pid} in ${functions}`, () => functions.test(readFileSync(`/proc/${pid}/wchan`, "utf8")));
}

for (const build of BUILDS) {
  test(`the ${build} plugin whose stdout nobody reads ends at its last deadline`, async () => {
    const child = spawn(pluginPath(build), [], { ...PASSING, stdio: ["pipe", "pipe", "ignore"] });
    const ended = once(child, "exit");
    child.stdin.end(netconf(LARGE));
    // Node reads ahead until its own buffer is full, then not any more.
    await untilIn(child.pid, /^(sock_alloc_send|unix_stream)/);
    child.kill("SIGALRM");
    try {
      await until("the plugin's end", () => child.exitCode !== null || child.signalCode !== null);
      assert.deepEqual(await ended, [1, null]);
    } finally {
      child.kill("SIGKILL");
      child.stdout.destroy();
    }
  });

  test(`the ${build} plugin has its last deadline also where its signal was blocked when it was started`, async () => {
    const blocked = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); ";
    const path = pluginPath(build);
    const child = spawn("python3", ["-c", `${blocked}os.execv(sys.argv[1], sys.argv[1:])`, path], {
      env: { ...PASSING.env, PATH: "/usr/bin:/bin" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
    });
    const closed = once(child, "close");
    await until("the plugin in python3's place", () => readlinkSync(`/proc/${child.pid}/exe`) === path);
    await untilIn(child.pid, /poll/);
    child.kill("SIGALRM");
    // Were it blocked, the deadline of stdin would end the plugin: with code 5.
    const [exitCode] = (await closed) as [number | null];
    const error = cniErrorOf({ exitCode: exitCode ?? -1, stdout: Buffer.from(stdout), stderr: "" });
    assert.deepEqual([exitCode, error.code], [1, 11]);
  });

  test(`the ${build} plugin prints all of its answer where stdout does not block and is read late`, () => {
    const script = `
import fcntl, os, struct, subprocess, sys, termios, time
r, w = os.pipe()
os.set_blocking(w, False)
child = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=w)
os.close(w)
child.stdin.write(sys.stdin.buffer.read())
child.stdin.close()
deadline = time.monotonic() + 20
while time.monotonic() < deadline and struct.unpack("i", fcntl.ioctl(r, termios.FIONREAD, b"0000"))[0] < 65536:
    time.sleep(0.005)
with os.fdopen(r, "rb") as pipe:
    sys.stdout.buffer.write(pipe.read())
sys.stdout.flush()
sys.exit(child.wait(20))
`;
    const done = spawnSync("python3", ["-c", script, pluginPath(build)], {
      env: { ...PASSING.env, PATH: "/usr/bin:/bin" },
      input: netconf(LARGE),
      maxBuffer: 4 * 1024 * 1024,
      timeout: 60_000,
    });
    assert.equal(done.status, 0, done.stderr.toString());
    assert.equal(done.stdout.length, JSON.stringify(LARGE.prevResult).length);
  });
}
