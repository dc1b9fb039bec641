import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { gatherBackendFacts } from "../../src/agent/netfilter/backend-facts.ts";
import { tryCaptures } from "../../src/agent/netfilter/trial-capture.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import { decideBackend } from "../../src/core/policy/backend-decision.ts";
import type { PodCapture } from "../../src/core/rules/pod-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../src/core/rules/sidecar-capture.ts";
import { findProgram } from "../../src/platform/exec/find-program.ts";
import { hasLegacyTables, readLegacyTables } from "../../src/platform/exec/legacy-tables.ts";
import { type NetlinkSocket, openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { openNetns } from "../../src/platform/linux/netns.ts";
import { createThrowawayNetns } from "../../src/platform/linux/throwaway-netns.ts";
import { createNetns } from "../../testbed/netns.ts";
import { ambientCase, backendOf, DIALECTS, generationOf, sidecarCase } from "./backend-fixture.ts";

const DEPS = { openNetlink, createThrowawayNetns, hasLegacyTables, findProgram };
const UNSET = { nativeNftables: false, forceIptables: undefined } as const;

test("gathering the facts changes nothing in our own namespace, makes no legacy table and leaves no descriptor", () => {
  using home = openNetns("/proc/thread-self/ns/net");
  const tables = readLegacyTables(home.fd);
  const generation = generationIn(home.fd);
  gatherBackendFacts(DEPS);
  const descriptors = readdirSync("/proc/self/fd").length;
  const facts = gatherBackendFacts(DEPS);
  assert.equal(readdirSync("/proc/self/fd").length, descriptors);
  assert.deepEqual(readLegacyTables(home.fd), tables);
  assert.equal(generationIn(home.fd), generation);
  assert.deepEqual(facts.nfTables, { answers: true });
});

test("asking twice gives the same answer, whatever somebody did with iptables legacy in a pod", () => {
  const first = decideBackend(gatherBackendFacts(DEPS), UNSET);
  using netns = createNetns();
  netns.mustExec(["iptables-legacy", "-t", "nat", "-S"]);
  assert.deepEqual(decideBackend(gatherBackendFacts(DEPS), UNSET), first);
});

test("a namespace in which somebody looked at iptables legacy is programmed in the node's dialect all the same", async () => {
  using netns = createNetns();
  netns.mustExec(["iptables-legacy", "-t", "nat", "-S"]);
  const applied = await backendOf("iptables-nft").apply(netns.fd, DEFAULT_SIDECAR_CAPTURE);
  assert.deepEqual(applied, { dialect: "iptables-nft", changed: true, replaced: [], repaired: [] });
  assert.doesNotMatch(netns.mustExec(["iptables-legacy-save"]), /^-A/m);
});

test("without the programs of iptables legacy a pod with legacy tables is captured, and one that must be legacy is told why not", async () => {
  using netns = createNetns();
  netns.mustExec(["iptables-legacy", "-t", "nat", "-S"]);
  const without = { findProgram: () => undefined };
  assert.equal((await backendOf("iptables-nft", without).apply(netns.fd, DEFAULT_SIDECAR_CAPTURE)).changed, true);
  await assert.rejects(
    backendOf("iptables-legacy", without).apply(netns.fd, DEFAULT_SIDECAR_CAPTURE),
    /^NetfilterError: Cannot program the pod as iptables-legacy: there is no program iptables-legacy-restore$|iptables-legacy-save$/,
  );
});

test("a kernel without TPROXY: the pod that asks for it gets its name, the others are captured", async () => {
  const decision = decideBackend(gatherBackendFacts({ ...DEPS, openNetlink: kernelWithout("TPROXY") }), UNSET);
  assert.deepEqual(
    decision.missing.map(({ feature, family }) => `${feature} ${family}`),
    ["tproxy 4", "tproxy 6"],
  );
  const backend = backendOf("iptables-nft", { decision });
  using netns = createNetns();
  await assert.rejects(
    backend.apply(netns.fd, sidecarCase("tproxy")),
    /^NetfilterError: Cannot capture the pod: this node's kernel lacks tproxy for IPv4 \(needed for interception mode TPROXY; kernel modules nft_compat, xt_TPROXY; errno 2\)/,
  );
  assert.equal(generationOf(netns), 1, "nothing was written before the refusal");
  assert.equal((await backend.apply(netns.fd, sidecarCase("default"))).changed, true);
});

test("a kernel without the owner match of xtables is served in native nftables", () => {
  const decision = decideBackend(gatherBackendFacts({ ...DEPS, openNetlink: kernelWithout("owner") }), UNSET);
  assert.equal(decision.dialect, "nftables");
  assert.equal(decision.reason, "iptables-nft-incomplete");
});

test("a kernel without nf_tables, and a node that lets us make no namespace, are facts and no failures", () => {
  const refuse = (): never => {
    throw new Error("Cannot open a netlink socket for protocol 12: socket failed with EPROTONOSUPPORT");
  };
  for (const deps of [
    { ...DEPS, openNetlink: refuse },
    { ...DEPS, createThrowawayNetns: refuse },
  ]) {
    const facts = gatherBackendFacts(deps);
    assert.equal(facts.nfTables.answers, false);
    assert.equal(decideBackend(facts, UNSET).dialect, "iptables-legacy");
  }
});

test("on a kernel without nf_tables pods are captured by iptables legacy and nothing asks nf_tables; forced to it, they are refused", async () => {
  const withoutNfTables: typeof openNetlink = (protocol, netnsFd) => {
    if (protocol === NETLINK_PROTOCOL.netfilter) throw new Error("Cannot open a netlink socket: EPROTONOSUPPORT");
    return openNetlink(protocol, netnsFd);
  };
  const facts = gatherBackendFacts({ ...DEPS, openNetlink: withoutNfTables });
  const capture = sidecarCase("tproxy");
  using netns = createNetns();
  const backend = backendOf("iptables-nft", {
    decision: decideBackend(facts, UNSET),
    openNetlink: withoutNfTables,
  });
  const applied = await backend.apply(netns.fd, capture);
  assert.deepEqual(applied, { dialect: "iptables-legacy", changed: true, replaced: [], repaired: [] });
  assert.deepEqual(await backend.drift(netns.fd, capture), []);
  assert.equal(await backend.remove(netns.fd, capture), true);
  const forced = backendOf("iptables-nft", {
    decision: decideBackend(facts, { ...UNSET, forceIptables: "nft" }),
    openNetlink: withoutNfTables,
  });
  await assert.rejects(forced.apply(netns.fd, capture), /this node's kernel has no nf_tables/);
});

/** As at start, and the interception mode that is not tried there. */
const TRIALS: readonly PodCapture[] = [
  ambientCase(),
  { ...DEFAULT_SIDECAR_CAPTURE, dnsCapture: true },
  { ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY" },
];

test("trial captures of every kind work in every dialect and leave no descriptor", async () => {
  for (const dialect of DIALECTS) {
    const deps = { backend: backendOf(dialect), createThrowawayNetns };
    assert.deepEqual(await tryCaptures(deps, TRIALS), []);
    const descriptors = readdirSync("/proc/self/fd").length;
    assert.deepEqual(await tryCaptures(deps, TRIALS), []);
    assert.equal(readdirSync("/proc/self/fd").length, descriptors, dialect);
  }
});

test("a trial tells which captures this kernel cannot do, and of which families", async () => {
  const without = kernelWithout("connmark");
  const backend = backendOf("iptables-nft", { openNetlink: without });
  const problems = await tryCaptures({ backend, createThrowawayNetns }, TRIALS);
  assert.deepEqual(
    problems.map(({ mode, families }) => ({ mode, families })),
    [
      { mode: "ambient", families: [4, 6] },
      { mode: "TPROXY", families: [4, 6] },
    ],
  );
  assert.match(problems[0]?.why ?? "", /^Cannot program the rule in ip mangle /);
  const none = await tryCaptures(
    {
      backend,
      createThrowawayNetns() {
        throw new Error("Cannot make a network namespace: unshare failed with ENOSPC");
      },
    },
    TRIALS.slice(0, 1),
  );
  assert.deepEqual(none, [
    { mode: "ambient", families: [4, 6], why: "Cannot make a network namespace: unshare failed with ENOSPC" },
  ]);
});

/** The kernel of this machine, told to do what it has no module for: the extension's name is misspelt on the way. */
function kernelWithout(extension: string): typeof openNetlink {
  const name = Buffer.from(`${extension}\0`);
  return (protocol, netnsFd): NetlinkSocket => {
    const socket = openNetlink(protocol, netnsFd);
    const misspell = (bytes: Uint8Array): Uint8Array => {
      const text = Buffer.from(bytes);
      for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) text[at] = "x".charCodeAt(0);
      return text;
    };
    return {
      fd: socket.fd,
      send: (bytes) => socket.send(misspell(bytes)),
      receive: () => socket.receive(),
      close: () => socket.close(),
      [Symbol.dispose]: () => socket.close(),
    };
  };
}

function generationIn(fd: number): number {
  return generationOf({ fd });
}
