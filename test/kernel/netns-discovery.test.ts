// Network namespaces of pods found through a real /proc: real namespaces with addresses, processes in them and in cgroups
// named as a kubelet names them, and the files a runtime keeps.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setImmediate as yieldToLoop } from "node:timers/promises";
import { createPodRouting } from "../../src/agent/netfilter/pod-routing.ts";
import { createNetnsRegistry, type NetnsRegistry } from "../../src/agent/netns/netns-registry.ts";
import { fakePod } from "../../src/agent/netns/testing.ts";
import type { NetnsPod } from "../../src/core/netns/choose-netns.ts";
import { createProcReader } from "../../src/platform/fs/proc-reader.ts";
import { dupNetns, openNetnsFile } from "../../src/platform/linux/dup-netns.ts";
import { closeFd } from "../../src/platform/linux/libc.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";

// A node of its own: a /proc whose process 1 may be looked at, and cgroups that go whatever ends this process.
const { cgroup: CGROUP } = enterNodeNamespaces();

const never = new AbortController().signal;
/** The v2 hierarchy, or one of v1: any can be written to, and one line that names the pod is enough. */
const HIERARCHY = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"].find((path) => {
  try {
    mkdirSync(join(path, CGROUP), { recursive: true });
    return true;
  } catch {
    return false;
  }
});

const children = new Set<ChildProcess>();

after(async () => {
  await Promise.all([...children].map(stop));
  removeCgroups();
  const left = [...globSync(`/sys/fs/cgroup/{,*/}${CGROUP}`), ...globSync("/proc/[0-9]*/cgroup").filter(namesUs)];
  assert.deepEqual(left, [], "nothing is left behind");
});

function namesUs(path: string): boolean {
  try {
    return readFileSync(path, "utf8").includes(CGROUP);
  } catch {
    return false;
  }
}

function removeCgroups(): void {
  if (HIERARCHY === undefined) return;
  const folders = globSync(`${HIERARCHY}/${CGROUP}/**/`).toSorted((left, right) => right.length - left.length);
  for (const folder of [...folders, join(HIERARCHY, CGROUP)]) {
    try {
      rmdirSync(folder);
    } catch {
      // Told twice by the glob; what is really left is seen by after().
    }
  }
}

/** A process inside `netns`, in the cgroup of `uid` unless that is undefined. */
function startIn(netns: TestNetns, uid: string | undefined): ChildProcess {
  const child = netns.run(() => spawn("sleep", ["600"], { stdio: "ignore" }));
  children.add(child);
  if (uid !== undefined) {
    assert.ok(HIERARCHY !== undefined, "Cannot make a cgroup in any hierarchy of /sys/fs/cgroup: root is needed");
    const folder = join(HIERARCHY, CGROUP, "kubepods/burstable", `pod${uid}`, "c".repeat(64));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "cgroup.procs"), String(child.pid));
  }
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  children.delete(child);
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

function createPodNetns(ips: readonly string[]): TestNetns {
  const netns = createNetns();
  for (const ip of ips) netns.mustExec(["ip", "addr", "add", ip, "dev", "lo", ...(ip.includes(":") ? ["nodad"] : [])]);
  return netns;
}

function createRegistry(options: { namedFolders?: readonly string[] } = {}): NetnsRegistry {
  const log = { debug() {}, info() {}, warn() {}, error() {}, scope: () => log };
  const { addresses } = createPodRouting({ openNetlink });
  return createNetnsRegistry(
    {
      proc: createProcReader("/proc"),
      dup: dupNetns,
      open: openNetnsFile,
      addresses,
      log,
      nowMs: () => performance.now(),
      yieldToLoop,
    },
    { forbidden: [statSync("/proc/self/ns/net", { bigint: true })], namedFolders: options.namedFolders ?? [] },
  );
}

async function look(registry: NetnsRegistry, pod: NetnsPod): Promise<string> {
  const lookup = (await registry.find([pod], never)).get(pod);
  if (lookup?.kind === "found") return lookup.source;
  return lookup?.kind === "not-found" ? lookup.reason : (lookup?.kind ?? "nothing");
}

/** The thread's way home is opened once and kept. */
createNetns()[Symbol.dispose]();
const countFds = (): number => readdirSync("/proc/self/fd").length;

test("a pod's namespace is found by its processes' cgroup and its address, and the handle outlives the processes", async () => {
  const before = countFds();
  {
    using registry = createRegistry();
    const pod = fakePod(1);
    using netns = createPodNetns(pod.podIps);
    const child = startIn(netns, pod.uid);
    assert.equal(await look(registry, pod), "uid");
    const held = registry.get(pod);
    assert.deepEqual([held?.dev, held?.ino], [netns.handle.dev, netns.handle.ino]);
    await stop(child);
    assert.equal(await look(registry, pod), "uid");
    registry.forget(pod.uid);
    assert.equal(await look(registry, pod), "no-process");
  }
  assert.equal(countFds(), before);
});

test("a process of the pod in the node's namespace, or in one without its address, is not followed", async () => {
  using registry = createRegistry();
  const pod = fakePod(2);
  using bare = createPodNetns(["10.9.9.9"]);
  startIn(bare, pod.uid);
  assert.equal(await look(registry, pod), "address-missing");
  const own = fakePod(3);
  const address = ["10.0.0.3/32", "dev", "lo"];
  using host = { ...bare, run: <T>(action: () => T): T => action(), [Symbol.dispose]() {} };
  execFileSync("ip", ["address", "add", ...address]);
  try {
    startIn(host, own.uid);
    assert.equal(await look(registry, own), "no-process");
  } finally {
    execFileSync("ip", ["address", "del", ...address]);
  }
});

test("two namespaces with one address are told apart by their processes, and refused when those name nobody", async () => {
  using registry = createRegistry();
  const pod = fakePod(4);
  using mine = createPodNetns(pod.podIps);
  using stranger = createPodNetns(pod.podIps);
  startIn(stranger, undefined);
  startIn(mine, pod.uid);
  assert.equal(await look(registry, pod), "uid");
  assert.equal(registry.get(pod)?.ino, mine.handle.ino);
  const unnamed = fakePod(5, { podIps: ["10.0.0.55"] });
  using first = createPodNetns(unnamed.podIps);
  using second = createPodNetns(unnamed.podIps);
  startIn(first, undefined);
  assert.equal(await look(registry, unnamed), "ip");
  registry.forget(unnamed.uid);
  startIn(second, undefined);
  assert.equal(await look(registry, unnamed), "ambiguous");
});

test("a namespace without any process is found by the file its runtime keeps", async () => {
  const folder = mkdtempSync(join(tmpdir(), "netns-discovery-"));
  const file = join(folder, "cni-1");
  const pod = fakePod(6);
  using netns = createPodNetns(pod.podIps);
  writeFileSync(file, "");
  writeFileSync(join(folder, "cni-leftover"), "");
  netns.mustExec(["mount", "--bind", netns.path, file]);
  try {
    using registry = createRegistry({ namedFolders: [folder] });
    assert.equal(await look(registry, pod), "ip");
    assert.equal(registry.get(pod)?.ino, netns.handle.ino);
  } finally {
    netns.mustExec(["umount", file]);
    rmSync(folder, { recursive: true });
  }
});

test("a handle that the runtime passed keeps the namespace until the sandbox ends", () => {
  const before = countFds();
  const pod = fakePod(7);
  const netns = createPodNetns(pod.podIps);
  using registry = createRegistry();
  assert.equal(registry.adopt(pod.uid, "sandbox", netns.fd).kind, "held");
  const { ino } = netns.handle;
  netns[Symbol.dispose]();
  assert.equal(registry.get(pod)?.ino, ino);
  registry.release("sandbox");
  assert.equal(registry.get(pod), undefined);
  assert.equal(countFds(), before);
});

test("processes that come and go, and numbers that are used again, disturb nothing", async () => {
  const before = countFds();
  {
    using registry = createRegistry();
    const pod = fakePod(8);
    using netns = createPodNetns(pod.podIps);
    let isOver = false;
    const churn = (async () => {
      while (!isOver) await stop(startIn(netns, pod.uid));
    })();
    const seen = new Set<string>();
    for (let round = 0; round < 50; round++) {
      seen.add(await look(registry, pod));
      const held = registry.get(pod);
      assert.ok(held === undefined || held.ino === netns.handle.ino);
      registry.forget(pod.uid);
    }
    isOver = true;
    await churn;
    for (const outcome of seen) {
      assert.ok(["uid", "ip", "no-process"].includes(outcome), registry.status().unavailable ?? outcome);
    }
  }
  assert.equal(countFds(), before);
});

test("a descriptor that is no network namespace is refused", () => {
  using registry = createRegistry();
  const fd = openNetlink(0);
  try {
    assert.equal(registry.adopt(fakePod(9).uid, "sandbox", fd.fd).kind, "refused");
  } finally {
    closeFd(fd.fd);
  }
});
