import assert from "node:assert/strict";
import { test } from "node:test";
import { type IpAddress, parseIpAddress } from "../../core/address.ts";
import type { Sandbox } from "../../core/cni/sandbox.ts";
import { parsePod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../../core/rules/sidecar-capture.ts";
import type { Clock } from "../../platform/clock.ts";
import { createSidecar, type FindPod, type SidecarDeps, type SidecarPodHints } from "./sidecar.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => silent };
const never = new AbortController().signal;
const BAD = { "sidecar.istio.io/status": "{}", "traffic.sidecar.istio.io/excludeInterfaces": "eth0 -j ACCEPT" };
const ips = (...texts: string[]): IpAddress[] => texts.flatMap((text) => parseIpAddress(text) ?? []);

const pod = parsePod({
  metadata: {
    uid: "u1",
    name: "web-0",
    namespace: "shop",
    resourceVersion: "1",
    annotations: { "sidecar.istio.io/status": "{}" },
  },
  spec: { containers: [{ name: "istio-proxy", args: ["proxy", "sidecar"] }] },
});

const sandbox: Sandbox = {
  containerId: "c1",
  podName: "web-0",
  podNamespace: "shop",
  podUid: "u1",
  netnsFd: 7,
  annotations: undefined,
  ips: [],
};

/** A kernel with one namespace: remembers what it holds. */
function fakeNetfilter(
  addresses: IpAddress[],
  options: { forbidden?: boolean; failure?: string; isLoopbackUp?: () => boolean } = {},
) {
  let held: SidecarCapture | undefined;
  let former: SidecarCapture | undefined;
  return {
    held: () => held,
    flush: () => {
      held = undefined;
    },
    addresses: () => addresses,
    dialectFor: () => "iptables" as const,
    formerly: () => former,
    async apply(_fd: number, capture: SidecarCapture, hints: SidecarPodHints) {
      former = hints.formerly;
      if (options.failure !== undefined) throw new Error(options.failure);
      const changed = JSON.stringify(held) !== JSON.stringify(capture);
      held = capture;
      return { dialect: "iptables-nft", changed, repaired: [] };
    },
    drift: async (_fd: number, capture: SidecarCapture) =>
      JSON.stringify(held) === JSON.stringify(capture) ? [] : ["table nat of ip is missing"],
    isLoopbackUp: () => options.isLoopbackUp?.() ?? true,
    isForbidden: () => options.forbidden ?? false,
  };
}

function sidecarOf(
  netfilter: ReturnType<typeof fakeNetfilter>,
  overrides: {
    namespaces?: Map<string, string>;
    findPod?: FindPod;
    strict?: boolean;
    countDecision?: SidecarDeps["countDecision"];
    memory?: SidecarDeps["memory"];
    clock?: Clock;
  } = {},
) {
  const { namespaces = new Map<string, string>() } = overrides;
  return createSidecar(
    {
      findPod: overrides.findPod ?? (async () => ({ found: true, pod })),
      netfilter,
      namespaces: {
        adopt: (uid, containerId) => void namespaces.set(containerId, uid),
        release: (containerId) => void namespaces.delete(containerId),
      },
      memory: overrides.memory ?? { keep: () => {}, formerly: () => undefined, release: () => {} },
      log: silent,
      countDecision: overrides.countDecision ?? (() => {}),
      observeProgram: () => {},
      clock: overrides.clock ?? { nowMs: () => 0, sleep: async () => {} },
      later: (action) => action(),
    },
    {
      settings: {
        excludedNamespaces: ["kube-system"],
        agentNamespace: "istio-system",
        ownerGroups: DEFAULT_SIDECAR_CAPTURE.ownerGroups,
        loopbackCidrV4: DEFAULT_SIDECAR_CAPTURE.loopbackCidrV4,
      },
      strictFamilies: overrides.strict ?? false,
    },
  );
}

test("add() captures an injected pod, records it, and a second ADD changes nothing", async () => {
  const netfilter = fakeNetfilter(ips("10.0.0.5"));
  const sidecar = sidecarOf(netfilter);
  await sidecar.add(sandbox, never);
  assert.deepEqual(netfilter.held(), DEFAULT_SIDECAR_CAPTURE);
  await sidecar.add(sandbox, never);
  const [record, ...others] = sidecar.records();
  assert.deepEqual([record?.reason, record?.podUid, others.length], ["sidecar", "u1", 0]);
  sidecar.remove({ containerId: "c1" });
  assert.deepEqual(sidecar.records(), []);
});

test("add() asks nobody about pods that their sandbox alone proves outside", async () => {
  const netfilter = fakeNetfilter(ips("10.0.0.5"));
  const reasons: string[] = [];
  const sidecar = sidecarOf(netfilter, {
    findPod: () => assert.fail("not to be asked"),
    countDecision: (reason) => reasons.push(reason),
  });
  await sidecar.add({ ...sandbox, annotations: { "some/other": "x" } }, never);
  await sidecar.add({ ...sandbox, podNamespace: "kube-system" }, never);
  await sidecar.add({ ...sandbox, podName: "istio-cni-node-abcde", podNamespace: "istio-system" }, never);
  assert.deepEqual(reasons, ["not-injected", "excluded-namespace", "own-agent"]);
  assert.equal(netfilter.held(), undefined);
});

test("add() refuses a pod that is not known yet, with a code that means try again and what to do", async () => {
  const sidecar = sidecarOf(fakeNetfilter(ips("10.0.0.5")), {
    findPod: async () => ({ found: false, reason: "the API server has not shown it" }),
  });
  await assert.rejects(sidecar.add(sandbox, never), (error: Error & { code: number; details: string }) => {
    assert.equal(error.code, 11);
    assert.match(error.message, /shop\/web-0.*has not shown it/);
    assert.match(error.details, /istio-cni-node/);
    return true;
  });
  assert.deepEqual(sidecar.records(), []);
});

test("add() refuses a bad annotation and programs nothing", async () => {
  const netfilter = fakeNetfilter(ips("10.0.0.5"));
  const annotations = {
    "sidecar.istio.io/status": "{}",
    "traffic.sidecar.istio.io/excludeInterfaces": "eth0 -j ACCEPT",
  };
  await assert.rejects(sidecarOf(netfilter).add({ ...sandbox, annotations }, never), {
    code: 7,
    message: /excludeInterfaces/,
  });
  assert.equal(netfilter.held(), undefined);
});

test("add() refuses the node's own namespace and a namespace without an address", async () => {
  await assert.rejects(sidecarOf(fakeNetfilter(ips("10.0.0.5"), { forbidden: true })).add(sandbox, never), { code: 8 });
  await assert.rejects(sidecarOf(fakeNetfilter(ips("127.0.0.1", "fe80::1"))).add(sandbox, never), {
    code: 11,
    message: /no address/,
  });
});

test("add() falls back to the addresses of the previous result", async () => {
  const netfilter = fakeNetfilter([]);
  await sidecarOf(netfilter).add({ ...sandbox, ips: ips("fd00::5") }, never);
  assert.deepEqual(netfilter.held()?.families, { v4: true, v6: true });
});

test("add() reports the family that passes by, and strict captures it", async () => {
  const lax = fakeNetfilter(ips("10.0.0.5", "fd00::5"));
  const sidecar = sidecarOf(lax);
  await sidecar.add(sandbox, never);
  assert.deepEqual(sidecar.records()[0]?.bypassed, ["ipv6"]);
  assert.equal(lax.held()?.families.v6, false);
  const strict = fakeNetfilter(ips("10.0.0.5", "fd00::5"));
  await sidecarOf(strict, { strict: true }).add(sandbox, never);
  assert.equal(strict.held()?.families.v6, true);
});

test("check() passes what stands and names what is missing", async () => {
  const netfilter = fakeNetfilter(ips("10.0.0.5"));
  const sidecar = sidecarOf(netfilter);
  await sidecar.add(sandbox, never);
  await sidecar.check(sandbox, never);
  netfilter.flush();
  await assert.rejects(sidecar.check(sandbox, never), { message: /table nat of ip is missing/ });
  await sidecar.check({ ...sandbox, podNamespace: "kube-system" }, never);
});

test("forget() drops the records of a pod whose sandbox was never taken down", async () => {
  const sidecar = sidecarOf(fakeNetfilter(ips("10.0.0.5")));
  await sidecar.add(sandbox, never);
  await sidecar.add({ ...sandbox, containerId: "c2" }, never);
  sidecar.forget("u1");
  assert.deepEqual(sidecar.records(), []);
});

test("add() keeps the namespace of a captured pod at hand until its sandbox is gone", async () => {
  const namespaces = new Map<string, string>();
  const sidecar = sidecarOf(fakeNetfilter(ips("10.0.0.5")), { namespaces });
  await sidecar.add(sandbox, never);
  await sidecar.add({ ...sandbox, containerId: "c2", annotations: {} }, never);
  assert.deepEqual([...namespaces], [["c1", "u1"]]);
  sidecar.remove({ containerId: "c1" });
  assert.equal(namespaces.size, 0);
});

test("add() refuses the pod when the kernel does, and says so in a way that is tried again", async () => {
  const sidecar = sidecarOf(fakeNetfilter(ips("10.0.0.5"), { failure: "this node's kernel lacks TPROXY" }));
  await assert.rejects(sidecar.add(sandbox, never), {
    code: 11,
    message: /shop\/web-0: this node's kernel lacks TPROXY/,
  });
  assert.deepEqual(sidecar.records(), []);
});

test("add() hands every decision on to be kept, and remove() takes it back", async () => {
  const told: string[] = [];
  const sidecar = sidecarOf(fakeNetfilter(ips("10.0.0.5")), {
    memory: {
      keep: ({ podUid, reason }, netnsFd) => void told.push(`keep ${podUid} ${reason} ${netnsFd}`),
      formerly: () => undefined,
      release: (containerId) => void told.push(`release ${containerId}`),
    },
  });
  await sidecar.add(sandbox, never);
  await sidecar.add({ ...sandbox, containerId: "c2", podNamespace: "kube-system" }, never);
  await assert.rejects(sidecar.add({ ...sandbox, containerId: "c3", annotations: BAD }, never));
  sidecar.remove({ containerId: "c1" });
  assert.deepEqual(told, ["keep u1 sidecar 7", "keep u1 excluded-namespace 7", "release c1"]);
});

test("add() tells the kernel what an agent before it applied to the same sandbox, and its own knowledge goes first", async () => {
  const netfilter = fakeNetfilter(ips("10.0.0.5"));
  const old: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, excludeInterfaces: ["eth1"] };
  const sidecar = sidecarOf(netfilter, {
    memory: {
      keep: () => {},
      formerly: (podUid, containerId) => (podUid === "u1" && containerId === "c1" ? old : undefined),
      release: () => {},
    },
  });
  await sidecar.add({ ...sandbox, containerId: "c2" }, never);
  assert.equal(netfilter.formerly(), undefined);
  await sidecar.add(sandbox, never);
  assert.deepEqual(netfilter.formerly(), old);
  await sidecar.add(sandbox, never);
  assert.deepEqual(netfilter.formerly(), DEFAULT_SIDECAR_CAPTURE);
});

/** Passes by sleeping only. */
function turnedBySleeping(): Clock & { now: number } {
  return {
    now: 0,
    nowMs() {
      return this.now;
    },
    async sleep(ms) {
      this.now += ms;
    },
  };
}

test("add() lets the runtime's loopback plugin go first where the capture puts an address on lo", async () => {
  const clock = turnedBySleeping();
  const netfilter = fakeNetfilter(ips("fd00::5"), { isLoopbackUp: () => clock.now >= 40 });
  await sidecarOf(netfilter, { clock }).add(sandbox, never);
  assert.equal(netfilter.held()?.families.v6, true);
  assert.ok(clock.now > 40 && clock.now < 60, `it waited ${clock.now} ms`);
});

test("add() does not wait for ever for a lo that nobody switches on, and not at all where it has nothing to put there", async () => {
  const clock = turnedBySleeping();
  const isDown = { isLoopbackUp: () => false };
  const captured = fakeNetfilter(ips("fd00::5"), isDown);
  await sidecarOf(captured, { clock }).add(sandbox, never);
  assert.equal(captured.held()?.families.v6, true);
  assert.ok(clock.now >= 100 && clock.now <= 200, `it waited ${clock.now} ms`);
  clock.now = 0;
  await sidecarOf(fakeNetfilter(ips("10.0.0.5"), isDown), { clock }).add(sandbox, never);
  assert.equal(clock.now, 0);
});

test("add() captures a pod without waiting on when the agent ends meanwhile", async () => {
  const clock = turnedBySleeping();
  const captured = fakeNetfilter(ips("fd00::5"), { isLoopbackUp: () => false });
  await sidecarOf(captured, { clock }).add(sandbox, AbortSignal.abort("agent-ends"));
  assert.equal(captured.held()?.families.v6, true);
  assert.equal(clock.now, 0);
});

test("add() keeps nothing of a sandbox that the runtime has given up while it was programmed", async () => {
  for (const reason of ["plugin-gone", "deadline"]) {
    const kept: string[] = [];
    const namespaces = new Map<string, string>();
    const request = new AbortController();
    const netfilter = fakeNetfilter(ips("10.0.0.5"));
    const { apply } = netfilter;
    netfilter.apply = async (...call) => {
      request.abort(reason);
      return apply(...call);
    };
    const memory = {
      keep: () => void kept.push("record"),
      formerly: () => undefined,
      release: () => {},
    };
    const sidecar = sidecarOf(netfilter, { namespaces, memory });
    await assert.rejects(sidecar.add(sandbox, request.signal), { code: 11, message: /given its sandbox up/ });
    assert.deepEqual([sidecar.records(), [...namespaces], kept], [[], [], []], reason);
  }
});
