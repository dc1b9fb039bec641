import assert from "node:assert/strict";
import { test } from "node:test";
import { findKubeletUser, type KubeletUserDeps } from "./kubelet-user.ts";

interface Process {
  readonly comm: string;
  readonly uid?: number;
  readonly netns?: bigint;
}

const NODE = 1n;

/** Processes as /proc shows them; `read` collects whose arguments were read. */
function node(processes: ReadonlyMap<number, Process>) {
  const read: number[] = [];
  const deps: KubeletUserDeps = {
    proc: {
      pids: async () => [...processes.keys()],
      stat: (pid) => {
        const process = processes.get(pid);
        return process && `${pid} (${process.comm}) S ${new Array(19).fill("0").join(" ")}`;
      },
      netnsIno: (pid) => processes.get(pid)?.netns ?? NODE,
    },
    text(pid, file) {
      read.push(pid);
      return file === "status" ? `Uid:\t${processes.get(pid)?.uid ?? 0}\t0\t0\t0\n` : "kubelet\0";
    },
    nodeNetnsIno: NODE,
    yieldToLoop: async () => undefined,
  };
  return { deps, read };
}

const never = new AbortController().signal;

test("only processes named like a kubelet in the node's own namespace are read, so that a pod cannot name its own", async () => {
  const { deps, read } = node(
    new Map([
      [1, { comm: "systemd" }],
      [30, { comm: "kubelet", uid: 1000, netns: 99n }],
      [40, { comm: "kubelet", uid: 7 }],
      [50, { comm: "nginx" }],
    ]),
  );
  const user = await findKubeletUser(deps, never);
  assert.deepEqual([user.isFound, user.uid], [true, 7]);
  assert.deepEqual(new Set(read), new Set([40]));
});

test("a procfs that is not there, and a node without a kubelet, give uid 0 and no error", async () => {
  const { deps } = node(new Map([[1, { comm: "init" }]]));
  assert.equal((await findKubeletUser(deps, never)).isFound, false);
  const broken = { ...deps, proc: { ...deps.proc, pids: () => Promise.reject(new Error("no procfs")) } };
  assert.equal((await findKubeletUser(broken, never)).uid, 0);
});

test("a hundred thousand processes are gone through in turns, and ten thousand kubelets are not read all", async () => {
  const { deps, read } = node(
    new Map(Array.from({ length: 100_000 }, (_, pid) => [pid + 1, { comm: pid < 10_000 ? "kubelet" : "x", uid: 3 }])),
  );
  let turns = 0;
  const user = await findKubeletUser({ ...deps, yieldToLoop: async () => void turns++ }, never);
  assert.equal(user.uid, 3);
  assert.ok(turns > 0 && read.length < 1000);
  const aborted = AbortSignal.abort(new Error("the agent ends"));
  await assert.rejects(findKubeletUser(deps, aborted), /the agent ends/);
});
