import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetnsPod } from "../../core/netns/choose-netns.ts";
import type { NetnsLookup, NetnsRegistry } from "./netns-registry.ts";
import { AGENT_INO, cgroupOf, containerIdOf, FakeNode, fakePod, NODE_INO } from "./testing.ts";

const never = new AbortController().signal;

async function look(registry: NetnsRegistry, ...pods: NetnsPod[]): Promise<string[]> {
  const lookups = await registry.find(pods, never);
  return pods.map((pod) => describe(lookups.get(pod)));
}

function describe(lookup: NetnsLookup | undefined): string {
  if (lookup?.kind === "found") return `found by ${lookup.source}`;
  return lookup?.kind === "not-found" ? lookup.reason : (lookup?.kind ?? "nothing");
}

test("adopt() keeps a descriptor of its own, and release() of that sandbox closes it", () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const pod = fakePod(1);
  const given = node.openNetns(77n);
  assert.equal(registry.adopt(pod.uid, "sandbox", given.fd).kind, "held");
  assert.notEqual(registry.get(pod)?.fd, given.fd);
  given[Symbol.dispose]();
  assert.deepEqual([...node.open.values()], [77n]);
  registry.release("another sandbox");
  assert.equal(registry.get(pod)?.ino, 77n);
  registry.release("sandbox");
  assert.equal(registry.get(pod), undefined);
  assert.equal(node.open.size, 0);
});

test("adopt() replaces the handle of the pod's older sandbox, whose late DEL changes nothing", () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const pod = fakePod(1);
  for (const [sandbox, ino] of [
    ["old", 77n],
    ["new", 78n],
  ] as const) {
    using given = node.openNetns(ino);
    registry.adopt(pod.uid, sandbox, given.fd);
  }
  assert.deepEqual([...node.open.values()], [78n]);
  registry.release("old");
  assert.equal(registry.get(pod)?.ino, 78n);
});

test("adopt() refuses the agent's namespace and what is none", () => {
  const node = new FakeNode();
  using registry = node.createRegistry({
    forbidden: [
      { dev: 4n, ino: AGENT_INO },
      { dev: 4n, ino: NODE_INO },
    ],
  });
  for (const ino of [AGENT_INO, NODE_INO]) {
    using given = node.openNetns(ino);
    const outcome = registry.adopt("uid", "sandbox", given.fd);
    assert.equal(outcome.kind === "refused" && outcome.reason, "not-a-pods");
  }
  const outcome = registry.adopt("uid", "sandbox", 9999);
  assert.equal(outcome.kind === "refused" && outcome.reason, "unusable");
  assert.equal(node.open.size, 0);
});

test("adopt() keeps to its bound, and says so once", () => {
  const node = new FakeNode();
  using registry = node.createRegistry({ maxHandles: 2 });
  for (const index of [1, 2, 3, 4]) {
    using given = node.openNetns(BigInt(70 + index));
    registry.adopt(fakePod(index).uid, `sandbox ${index}`, given.fd);
  }
  assert.deepEqual([...node.open.values()], [73n, 74n]);
  assert.equal(node.logged.length, 1);
});

const mirrorOf = (hash: string): Record<string, string> => ({
  "kubernetes.io/config.hash": hash,
  "kubernetes.io/config.mirror": hash,
});

test("a static pod's handle, given under the kubelet's UID, is found for its mirror pod", () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const hash = "9f86d081884c7d659a2feaa0c55ad015";
  using given = node.openNetns(77n);
  registry.adopt(hash, "sandbox", given.fd);
  assert.equal(registry.get(fakePod(1, { annotations: mirrorOf(hash) }))?.ino, 77n);
});

test("a static pod that was found, and whose sandbox is made anew, has only the handle that was given", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const hash = "9f86d081884c7d659a2feaa0c55ad015";
  const pod = fakePod(1, { annotations: mirrorOf(hash) });
  const old = node.addPod(pod, 10);
  assert.deepEqual(await look(registry, pod), ["found by uid"]);
  node.namespaces.set(old, []);
  node.namespaces.set(77n, pod.podIps);
  using given = node.openNetns(77n);
  registry.adopt(hash, "sandbox", given.fd);
  assert.deepEqual(await look(registry, pod), ["found by add"]);
  assert.deepEqual([...node.open.values()], [77n, 77n]);
});

test("a pod that names another one in an annotation gets no hold of that one's namespace, nor ends it", async () => {
  const victim = fakePod(1);
  const own = { hash: "9f86d081884c7d659a2feaa0c55ad015", uid: victim.uid, bare: victim.uid.replaceAll("-", "") };
  for (const [held, annotations] of [
    [own.uid, { "kubernetes.io/config.hash": own.uid }],
    [own.uid, mirrorOf(own.uid)],
    [own.uid, mirrorOf(own.bare)],
    [own.hash, { "kubernetes.io/config.hash": own.hash }],
  ] as const) {
    const node = new FakeNode();
    using registry = node.createRegistry();
    using given = node.openNetns(77n);
    registry.adopt(held, "sandbox", given.fd);
    const stranger = fakePod(2, { annotations });
    assert.equal(registry.get(stranger), undefined, JSON.stringify(annotations));
    using other = node.openNetns(78n);
    registry.adopt(stranger.uid, "another sandbox", other.fd);
    await look(registry, stranger);
    assert.equal(registry.get({ uid: held, annotations: {} })?.ino, 77n, JSON.stringify(annotations));
  }
});

test("find() finds many pods in one pass, and keeps no descriptor of what is nobody's", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const pods = Array.from({ length: 100 }, (_, index) => fakePod(index + 1));
  for (const [index, pod] of pods.entries()) node.addPod(pod, 10 + index);
  node.processes.set(500, { ino: 9000n, cgroup: "0::/system.slice/docker.service" });
  let lists = 0;
  node.meanwhile = (asked) => {
    if (asked === "pids") lists++;
  };
  assert.deepEqual(new Set(await look(registry, ...pods)), new Set(["found by uid"]));
  assert.equal(lists, 1);
  assert.equal(node.open.size, 100);
  for (const [index, pod] of pods.entries()) assert.equal(registry.get(pod)?.ino, BigInt(1010 + index));
  assert.deepEqual(new Set(await look(registry, ...pods)), new Set(["found by uid"]));
  assert.equal(lists, 1, "what is held and still right is not looked for");
});

test("find() finds a pod although another one has made more namespaces than are looked at", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  for (let index = 0; index < 8192; index++) node.processes.set(10 + index, { ino: BigInt(100_000 + index) });
  const pod = fakePod(1);
  const ino = node.addPod(pod, 20_000);
  node.named.set("/run/netns/cni-1", ino);
  assert.deepEqual(await look(registry, pod), ["found by uid"]);
});

test("find() reads cgroups only where an address that is looked for was found", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const pod = fakePod(1);
  node.addPod(pod, 10);
  for (let pid = 11; pid < 60; pid++) node.addPod(fakePod(pid), pid);
  const read: unknown[] = [];
  node.meanwhile = (asked, pid) => {
    if (asked === "cgroup") read.push(pid);
  };
  await look(registry, pod);
  assert.deepEqual(read, [10]);
});

test("find() yields the thread again and again, and gives up at its deadline", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry({ scanTimeoutMs: 50 });
  for (let pid = 10; pid < 110; pid++) node.addPod(fakePod(pid), pid);
  node.meanwhile = (asked) => {
    if (asked === "netnsIno") node.nowMs += 0.4;
  };
  assert.deepEqual(await look(registry, fakePod(10)), ["found by uid"]);
  assert.ok(node.yields > 20, String(node.yields));
  node.meanwhile = () => {
    node.nowMs += 10;
  };
  assert.deepEqual(await look(registry, fakePod(11)), ["scan-cut-short"]);
  assert.equal(node.open.size, 1);
});

test("find() ends with the signal's reason and leaves nothing open", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  node.addPod(fakePod(1), 10);
  const controller = new AbortController();
  node.meanwhile = (asked) => {
    if (asked === "cgroup") controller.abort(new Error("enough"));
  };
  await assert.rejects(registry.find([fakePod(1)], controller.signal), /enough/);
  assert.equal(node.open.size, 0);
  await assert.rejects(registry.find([fakePod(1)], controller.signal), /enough/);
});

test("find() without the node's /proc says why, once, and what the runtime gave is still there", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  node.procFailure = "Cannot read /host/proc: it does not exist";
  using given = node.openNetns(77n);
  registry.adopt(fakePod(2).uid, "sandbox", given.fd);
  assert.deepEqual(await look(registry, fakePod(1), fakePod(2)), ["proc-unavailable", "found by add"]);
  assert.deepEqual(await look(registry, fakePod(1)), ["proc-unavailable"]);
  assert.equal(node.logged.length, 1);
  assert.match(registry.status().unavailable ?? "", /it does not exist/);
  node.procFailure = undefined;
  node.addPod(fakePod(1), 10);
  assert.deepEqual(await look(registry, fakePod(1)), ["found by uid"]);
  assert.equal(registry.status().unavailable, undefined);
});

test("find() takes no namespace whose process became another one's meanwhile", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const ino = node.addPod(fakePod(1), 10);
  node.meanwhile = (asked, subject) => {
    // The process ends after the list, and its number goes to a process of the node.
    if (asked === "open" && subject === "10") node.processes.set(10, { ino: NODE_INO, cgroup: "0::/" });
  };
  assert.deepEqual(await look(registry, fakePod(1)), ["no-process"]);
  assert.equal(node.open.size, 0);
  node.meanwhile = () => undefined;
  node.processes.set(11, { ino, cgroup: cgroupOf(fakePod(1).uid, 11) });
  assert.deepEqual(await look(registry, fakePod(1)), ["found by uid"]);
});

test("find() does not believe the cgroup of a process that has left the namespace", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const [mine, other] = [fakePod(1), fakePod(2)];
  node.namespaces.set(50n, mine.podIps);
  node.processes.set(10, { ino: 50n, cgroup: cgroupOf(other.uid, 10) });
  node.meanwhile = (asked) => {
    if (asked === "cgroup") node.processes.set(10, { ino: 51n, cgroup: cgroupOf(other.uid, 10) });
  };
  assert.deepEqual(await look(registry, mine), ["found by ip"]);
});

test("find() keeps nothing for a pod that was deleted, or whose sandbox ended, while it looked", async () => {
  for (const end of [
    (registry: NetnsRegistry) => registry.forget(fakePod(1).uid),
    (registry: NetnsRegistry) => registry.release(containerIdOf(10)),
    (registry: NetnsRegistry) => registry[Symbol.dispose](),
  ]) {
    const node = new FakeNode();
    using registry = node.createRegistry();
    node.addPod(fakePod(1), 10);
    node.meanwhile = (asked) => {
      if (asked === "cgroup") end(registry);
    };
    assert.deepEqual(await look(registry, fakePod(1)), ["no-process"]);
    assert.equal(node.open.size, 0);
  }
});

test("an ADD while find() looks has the last word", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  node.addPod(fakePod(1), 10, 50n);
  node.namespaces.set(60n, fakePod(1).podIps);
  using given = node.openNetns(60n);
  node.meanwhile = (asked) => {
    if (asked === "cgroup") registry.adopt(fakePod(1).uid, "new sandbox", given.fd);
  };
  assert.deepEqual(await look(registry, fakePod(1)), ["found by add"]);
  assert.equal(registry.get(fakePod(1))?.ino, 60n);
  assert.deepEqual([...node.open.values()], [60n, 60n]);
});

test("find() replaces a handle whose namespace lost the pod's address, and forgets it when nothing else is there", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const pod = fakePod(1);
  const old = node.addPod(pod, 10);
  await look(registry, pod);
  node.namespaces.set(old, ["127.0.0.1"]);
  node.processes.delete(10);
  node.addPod(pod, 20);
  assert.deepEqual(await look(registry, pod), ["found by uid"]);
  assert.equal(registry.get(pod)?.ino, 1020n);
  node.namespaces.set(1020n, []);
  assert.deepEqual(await look(registry, pod), ["address-missing"]);
  assert.equal(registry.get(pod), undefined);
  assert.equal(node.open.size, 0);
});

test("find() finds a pod without any process by the file its runtime keeps", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  node.named.set("/run/netns/cni-1", 50n);
  node.named.set("/run/netns/cni-2", 51n);
  node.namespaces.set(50n, fakePod(1).podIps);
  node.namespaces.set(51n, fakePod(2).podIps);
  assert.deepEqual(await look(registry, fakePod(1)), ["found by ip"]);
  assert.deepEqual([...node.open.values()], [50n]);
});

test("find() gives one namespace to one pod only", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  const [first, second] = [fakePod(1), fakePod(2, { podIps: fakePod(1).podIps })];
  node.addPod(first, 10);
  assert.deepEqual(await look(registry, first, second), ["found by uid", "held-by-another-pod"]);
  assert.deepEqual(await look(registry, second), ["no-process"]);
});

test("retain() closes the handles of pods that are gone or finished, and waits for pods that are not there yet", () => {
  const node = new FakeNode();
  using registry = node.createRegistry({ unknownGraceMs: 1000 });
  for (const index of [1, 2, 3]) {
    using given = node.openNetns(BigInt(70 + index));
    registry.adopt(fakePod(index).uid, `sandbox ${index}`, given.fd);
  }
  registry.retain([fakePod(1), fakePod(2)]);
  assert.equal(node.open.size, 3);
  registry.retain([fakePod(1), fakePod(2, { phase: "Succeeded" })]);
  assert.deepEqual([...node.open.values()], [71n, 73n]);
  node.nowMs = 1001;
  registry.retain([fakePod(1)]);
  assert.deepEqual([...node.open.values()], [71n]);
});

test("calls of find() wait for each other", async () => {
  const node = new FakeNode();
  using registry = node.createRegistry();
  node.addPod(fakePod(1), 10);
  node.addPod(fakePod(2), 11);
  const [first, second] = await Promise.all([look(registry, fakePod(1)), look(registry, fakePod(1), fakePod(2))]);
  assert.deepEqual([first, second], [["found by uid"], ["found by uid", "found by uid"]]);
  assert.equal(node.open.size, 2);
});
