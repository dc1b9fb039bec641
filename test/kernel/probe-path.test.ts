// The way of the kubelet's probes tried for real: a node and a pod in namespaces, the agent's own rules in both, and everything
// that is known to come between them. In every dialect and family, and nothing is left behind.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { type ProbePathDeps, type ProbePathOptions, tryProbePath } from "../../src/agent/ambient/try-probe-path.ts";
import { FAMILIES, type Family, formatIp } from "../../src/core/address.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import { decideSelfTest, type ProbeEvidence, type SelfTestOutcome } from "../../src/core/policy/probe-self-test.ts";
import { AMBIENT_PORTS, DEFAULT_PROBE_SOURCE } from "../../src/core/rules/ambient-numbers.ts";
import { createSystemClock } from "../../src/platform/clock.ts";
import { bindSocket, checked, closeFd, listen as listenAt, socket } from "../../src/platform/linux/libc.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { AF_INET6, SOCK_CLOEXEC, SOCK_STREAM } from "../../src/platform/linux/socket-numbers.ts";
import { connectTcp, listenTcp } from "../../src/platform/linux/tcp-socket.ts";
import { DEFAULT_AMBIENT_CAPTURE } from "../../testbed/ambient/ambient-cases.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { serveZtunnel, workload } from "../../testbed/ztunnel/server-rig.ts";
import { startZtunnel } from "../../testbed/ztunnel/ztunnel-process.ts";
import { backendOf, DIALECTS } from "./backend-fixture.ts";
import { listen, NETTOOL } from "./case-table-stage.ts";
import { createHostWithPods, hostProbesOf, ip, ips, UID } from "./host-probes-fixture.ts";

const SOURCE = { 4: DEFAULT_PROBE_SOURCE.v4, 6: DEFAULT_PROBE_SOURCE.v6 } as const;
const NODE = { 4: "10.77.0.1", 6: "fd77::1:1" } as const;
/** Longer than a neighbour is looked for on a busy machine. */
const PATIENCE_MS = 20_000;
/** For what never comes. */
const SHORT_MS = 1000;
const never = new AbortController().signal;

interface Scene extends AsyncDisposable {
  readonly host: TestNetns;
  readonly pod: TestNetns;
  /** What is seen, and what it means. */
  test(
    family: Family,
    options?: ProbePathOptions,
    change?: Partial<ProbePathDeps>,
    signal?: AbortSignal,
  ): Promise<{ evidence: ProbeEvidence; outcome: SelfTestOutcome }>;
}

/** A pod whose ways are known to work in both families; captured, and exempt for the node's probes, where that is asked for. */
async function createScene(
  dialect: BackendDialect,
  what: { readonly isCaptured?: boolean; readonly isExempt?: boolean; readonly ztunnel?: "deaf" } = {},
): Promise<Scene> {
  await using owned = new AsyncDisposableStack();
  const { host, pods } = owned.use(createHostWithPods(1));
  const [wired] = pods;
  assert.ok(wired !== undefined);
  const { netns: pod } = wired;
  const addresses = { 4: ip(wired.v4), 6: ip(wired.v6) };
  const poller = createPoller((error) => assert.fail(String(error)));
  owned.defer(() => poller.close());
  const deps = {
    ...{ listenTcp, connectTcp, openNetlink, clock: createSystemClock() },
    watch: poller.watch,
    randomBytes: (count: number) => new Uint8Array(randomBytes(count)),
  };
  const attempt = (
    family: Family,
    options: ProbePathOptions = { timeoutMs: SHORT_MS },
    change: Partial<ProbePathDeps> = {},
    signal = never,
  ) => {
    const path = { podNetnsFd: pod.fd, nodeNetnsFd: host.fd, address: addresses[family] };
    return tryProbePath({ ...deps, ...change }, path, signal, options);
  };
  for (const family of FAMILIES) {
    const evidence = await attempt(family, { timeoutMs: PATIENCE_MS });
    assert.deepEqual(evidence, { kind: "arrived", source: ip(NODE[family]) }, "before there is anything");
  }
  if (what.isCaptured ?? true) await backendOf(dialect).apply(pod.fd, DEFAULT_AMBIENT_CAPTURE);
  if (what.isExempt ?? true) {
    const probes = hostProbesOf(host, dialect);
    await probes.ensure();
    await probes.put(UID.a, ips(wired.v4, wired.v6));
  }
  if (what.ztunnel !== undefined) await listen(owned, [NETTOOL, "--netns", pod.path, "ztunnel"]);
  const all = owned.move();
  return {
    ...{ host, pod },
    async test(family, options, change, signal) {
      const before = descriptors();
      try {
        const evidence = await attempt(family, options, change, signal);
        return { evidence, outcome: decideSelfTest(evidence, SOURCE[family]) };
      } finally {
        assert.deepEqual(descriptors(), before, "descriptors");
        for (const netns of [host, pod]) await untilNoSockets(netns);
      }
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function descriptors(): string[] {
  return readdirSync("/proc/self/fd").toSorted();
}

/** The kernel drops a connection that was only asked for when it looks at it next, within seconds. */
async function untilNoSockets(netns: TestNetns): Promise<void> {
  for (const endMs = performance.now() + PATIENCE_MS; ; await setTimeout(50)) {
    const sockets = netns.mustExec(["ss", "-Htan", "state", "all"]).split("\n");
    const left = sockets.filter((line) => line !== "" && !/^LISTEN/.test(line) && !/:150\d\d /.test(line));
    if (left.length === 0) return;
    if (performance.now() > endMs) assert.deepEqual(left, [], "sockets");
  }
}

/** Rules of somebody else, in a table of his own. */
function foreign(netns: TestNetns, chain: string, rules: readonly string[]): void {
  netns.mustExec(["nft", "-f", "-"], {
    input: `table inet foreign { chain c { type ${chain}; ${rules.join("; ")}; }; }\n`,
  });
}

/** As the real ztunnel listens where there is IPv6 (src/config.rs, bind_wildcard): one socket that takes IPv4 too, as ::ffff:… */
function listenForBoth(pod: TestNetns): Disposable {
  const fd = pod.run(() => checked("socket", "make a socket", () => socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  const owned = new DisposableStack();
  owned.defer(() => void closeFd(fd));
  const everywhere = new Uint8Array(28);
  new DataView(everywhere.buffer).setUint16(0, AF_INET6, true);
  new DataView(everywhere.buffer).setUint16(2, AMBIENT_PORTS.inbound, false);
  checked("bind", "bind it", () => bindSocket(fd, everywhere, everywhere.length));
  checked("listen", "listen", () => listenAt(fd, 16));
  return owned;
}

test("a ztunnel that takes both families by one socket is asked for whom it takes the node, too", async () => {
  await using scene = await createScene("nftables", { isExempt: false });
  using _ztunnel = listenForBoth(scene.pod);
  for (const family of FAMILIES) {
    const { evidence } = await scene.test(family);
    assert.deepEqual(evidence, { kind: "intercepted", source: ip(NODE[family]) });
  }
});

for (const dialect of DIALECTS) {
  test(`${dialect}: probes of the node reach the pod from their source, whoever masquerades after us`, async () => {
    await using scene = await createScene(dialect, { ztunnel: "deaf" });
    foreign(scene.host, "nat hook postrouting priority 110", ["masquerade"]);
    for (const family of FAMILIES) {
      const { evidence, outcome } = await scene.test(family, { timeoutMs: PATIENCE_MS });
      assert.deepEqual(evidence, { kind: "arrived", source: SOURCE[family] });
      assert.equal(outcome.result, "works");
    }
  });

  test(`${dialect}: without the node's rule ztunnel gets them, and it is told from where`, async () => {
    await using scene = await createScene(dialect, { isExempt: false, ztunnel: "deaf" });
    for (const family of FAMILIES) {
      const { evidence, outcome } = await scene.test(family);
      assert.deepEqual(evidence, { kind: "intercepted", source: ip(NODE[family]) });
      assert.equal(outcome.result, "wrong-source");
      assert.match(outcome.message, new RegExp(`from ${NODE[family]} instead of ${formatIp(SOURCE[family])}$`));
    }
  });

  test(`${dialect}: who masquerades before us is found out by the source he gives`, async () => {
    await using scene = await createScene(dialect, { ztunnel: "deaf" });
    foreign(scene.host, "nat hook postrouting priority 90", ["meta l4proto tcp masquerade"]);
    for (const family of FAMILIES) {
      const { evidence, outcome } = await scene.test(family);
      assert.deepEqual(evidence, { kind: "intercepted", source: ip(NODE[family]) });
      assert.equal(outcome.result, "wrong-source");
    }
  });

  test(`${dialect}: a pod that redirects probes too is told from a node that sends them wrongly`, async () => {
    await using scene = await createScene(dialect, { ztunnel: "deaf" });
    foreign(scene.pod, "nat hook prerouting priority -150", ["meta l4proto tcp redirect to :15006"]);
    for (const family of FAMILIES) {
      const { evidence, outcome } = await scene.test(family);
      assert.deepEqual(evidence, { kind: "intercepted", source: SOURCE[family] });
      assert.deepEqual([outcome.result, outcome.reason], ["captured-by-ztunnel", "probe-source-captured"]);
    }
  });

  test(`${dialect}: what gets lost on the way there is told from what gets lost on the way back`, async () => {
    for (const [where, reason] of [
      ["host", "request-lost"],
      ["pod", "answer-lost"],
    ] as const) {
      await using scene = await createScene(dialect);
      foreign(scene[where], "filter hook output priority 0", [
        "meta l4proto tcp tcp flags & (syn | fin | rst) == syn drop",
      ]);
      for (const family of FAMILIES) {
        const { outcome } = await scene.test(family);
        assert.deepEqual([outcome.result, outcome.reason], ["no-answer", reason]);
      }
    }
  });

  test(`${dialect}: a network policy that rejects is a finding`, async () => {
    await using scene = await createScene(dialect);
    foreign(scene.pod, "filter hook input priority 0", [
      "meta nfproto ipv4 meta l4proto tcp reject with tcp reset",
      "meta nfproto ipv6 meta l4proto tcp reject with icmpv6 admin-prohibited",
    ]);
    for (const family of FAMILIES) {
      const { evidence, outcome } = await scene.test(family, { timeoutMs: PATIENCE_MS });
      assert.deepEqual(evidence, { kind: "refused", code: family === 4 ? "ECONNREFUSED" : "EACCES" });
      assert.equal(outcome.result, "refused");
    }
  });
}

test("a connection that ztunnel passes on under its client's address is not taken for a straight one", async () => {
  await using scene = await createScene("iptables-nft", { isExempt: false });
  await using rig = await serveZtunnel();
  await using ztunnel = await startZtunnel({ socketPath: rig.path });
  await rig.until("the snapshot", () => rig.server.isConnected());
  assert.deepEqual(await rig.server.enroll(workload("a"), scene.pod.fd, never), { result: "acknowledged" });
  for (const family of FAMILIES) {
    const { evidence, outcome } = await scene.test(family, { timeoutMs: PATIENCE_MS });
    assert.deepEqual(evidence, { kind: "intercepted", source: ip(NODE[family]) });
    assert.equal(outcome.result, "wrong-source");
    await rig.until("the connection", () => ztunnel.connections().some(({ direction }) => direction === "inbound"));
  }
});

test("a network that gives probes another port, and the right source, is fine", async () => {
  await using scene = await createScene("iptables-nft", { ztunnel: "deaf" });
  foreign(scene.host, "nat hook postrouting priority 90", [
    `meta l4proto tcp snat ip to ${formatIp(SOURCE[4])}:1024-1100`,
    `meta l4proto tcp snat ip6 to [${formatIp(SOURCE[6])}]:1024-1100`,
  ]);
  for (const family of FAMILIES) {
    const { outcome } = await scene.test(family, { timeoutMs: PATIENCE_MS });
    assert.equal(outcome.result, "works");
  }
});

/** A listener to which somebody in the pod has connected `count` times before anybody else could, with words of his own. */
function besieged(pod: TestNetns, count: number, strangers: Disposable[]): typeof listenTcp {
  return (netnsFd, address) => {
    const listener = listenTcp(netnsFd, address);
    for (let number = 0; number < count; number++) {
      const stranger = connectTcp(pod.fd, address, listener.port);
      stranger.send(new Uint8Array(number % 3 === 0 ? 16 : 5 * number));
      if (number % 2 === 0) strangers.push(stranger);
      else stranger[Symbol.dispose]();
    }
    return {
      ...listener,
      [Symbol.dispose]() {
        for (const one of [listener, ...strangers.splice(0)]) one[Symbol.dispose]();
      },
    };
  };
}

test("who else connects to the port of the test is not taken for the node, and many of them end it", async () => {
  await using scene = await createScene("iptables-nft");
  for (const family of FAMILIES) {
    const few = { listenTcp: besieged(scene.pod, 6, []) };
    const { evidence } = await scene.test(family, { timeoutMs: PATIENCE_MS }, few);
    assert.deepEqual(evidence, { kind: "arrived", source: SOURCE[family] });
    const many = { listenTcp: besieged(scene.pod, 16, []) };
    const problem = "too many others connect to the port of the test";
    assert.deepEqual((await scene.test(family, { timeoutMs: PATIENCE_MS }, many)).evidence, {
      kind: "untried",
      problem,
    });
  }
});

test("whoever knows the token of another try does not pass for the node", async () => {
  await using scene = await createScene("iptables-nft", { isExempt: false, ztunnel: "deaf" });
  // The stranger sends sixteen zeros first, which are no token: this one has others.
  const change = {
    listenTcp: besieged(scene.pod, 1, []),
    randomBytes: (count: number) => new Uint8Array(count).fill(7),
  };
  const { evidence } = await scene.test(4, undefined, change);
  assert.equal(evidence.kind, "intercepted");
});

test("the agent's end ends a try at once, and closes everything", async () => {
  await using scene = await createScene("iptables-nft");
  foreign(scene.host, "filter hook output priority 0", ["meta l4proto tcp drop"]);
  const ending = new AbortController();
  const reason = new Error("the agent ends");
  const trying = scene.test(4, { timeoutMs: PATIENCE_MS }, {}, ending.signal);
  ending.abort(reason);
  await assert.rejects(trying, reason);
  await assert.rejects(scene.test(4, {}, {}, ending.signal), reason);
});

test("who knocked once has knocked, also when his kernel forgets him before the try ends", async () => {
  await using scene = await createScene("nftables");
  const unanswered = "meta l4proto tcp tcp flags & (syn | fin | rst) == syn drop";
  foreign(scene.pod, "filter hook output priority 0", [unanswered]);
  const trying = scene.test(4, { timeoutMs: 3000 });
  await setTimeout(500);
  // A kernel that cannot send its answer forgets who asked after a second; he would ask again.
  foreign(scene.host, "filter hook output priority 0", [unanswered]);
  const { outcome } = await trying;
  assert.deepEqual([outcome.result, outcome.reason], ["no-answer", "answer-lost"]);
});

test("a kernel that tells nothing of connections only makes the finding vaguer", async () => {
  await using scene = await createScene("iptables-nft");
  foreign(scene.host, "filter hook output priority 0", ["meta l4proto tcp drop"]);
  const change: Partial<ProbePathDeps> = {
    openNetlink(protocol, netnsFd) {
      const socket = openNetlink(protocol, netnsFd);
      return { ...socket, send: () => assert.fail("ENOENT") };
    },
  };
  const { evidence } = await scene.test(4, undefined, change);
  assert.deepEqual(evidence, { kind: "silent", source: "unknown" });
});

test("an address that the pod does not have, or not yet, says nothing of probes", async () => {
  await using scene = await createScene("iptables-nft");
  scene.pod.mustExec(["ip", "addr", "flush", "dev", "eth0"]);
  for (const family of FAMILIES) {
    const { evidence, outcome } = await scene.test(family);
    assert.deepEqual(evidence, {
      kind: "untried",
      problem: "Cannot bind a TCP socket: bind failed with EADDRNOTAVAIL",
    });
    assert.equal(outcome.result, "cannot-test");
  }
});

test("a node without a route to the pod refuses at once", async () => {
  await using scene = await createScene("iptables-nft");
  scene.host.mustExec(["ip", "link", "del", "pod0"]);
  scene.pod.mustExec(["ip", "addr", "add", "10.77.0.2/32", "dev", "lo"]);
  const { evidence } = await scene.test(4);
  assert.deepEqual(evidence, { kind: "refused", code: "ENETUNREACH" });
});
