// The kubelet's user found in the real /proc, among processes of other namespaces that call themselves the same.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findKubeletUser } from "../../src/agent/netfilter/kubelet-user.ts";
import { createProcReader } from "../../src/platform/fs/proc-reader.ts";
import { readProcessText } from "../../src/platform/fs/process-text.ts";
import { createNetns } from "../../testbed/netns.ts";

const KUBELET_UID = 4711;

test("the kubelet's user is that of the process of its name in the node's namespace", async () => {
  using node = createNetns();
  using pod = createNetns();
  const folder = mkdtempSync(join(tmpdir(), "kubelet-"));
  const children: ChildProcess[] = [];
  const start = async (netns: typeof node, uid: number): Promise<void> => {
    const child = netns.run(() => spawn(join(folder, "kubelet"), ["3600"], { uid, cwd: "/", stdio: "ignore" }));
    children.push(child);
    await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
  };
  try {
    chmodSync(folder, 0o755); // for the other users
    symlinkSync("/bin/sleep", join(folder, "kubelet"));
    await start(pod, 1000);
    await start(node, KUBELET_UID);
    const proc = createProcReader("/proc");
    const user = await findKubeletUser(
      {
        proc,
        text: (pid, file) => readProcessText("/proc", pid, file),
        nodeNetnsIno: statSync(node.path, { bigint: true }).ino,
        yieldToLoop: () => new Promise((resolve) => setImmediate(resolve)),
      },
      new AbortController().signal,
    );
    assert.deepEqual([user.isFound, user.uid], [true, KUBELET_UID]);
    assert.match(user.message, /uid 4711, that of kubelet/);
  } finally {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});

test("what a process says of itself is read whole up to a bound, and one that is gone says nothing", async () => {
  const long = spawn("sleep", ["3600", ...new Array<string>(2000).fill("0".repeat(20))], { stdio: "ignore" });
  try {
    await new Promise((resolve, reject) => long.once("spawn", resolve).once("error", reject));
    const pid = long.pid ?? assert.fail();
    assert.equal(readProcessText("/proc", pid, "cmdline")?.length, "sleep\0".length + "3600\0".length + 2000 * 21);
    assert.match(readProcessText("/proc", process.pid, "status") ?? "", /^Uid:\t\d/m);
    assert.equal(readProcessText("/proc", 2 ** 22 + 1, "status"), undefined);
  } finally {
    long.kill("SIGKILL");
  }
});
