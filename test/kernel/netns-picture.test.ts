// What the tracer gets to see of a namespace: rules of ours and of others, as tools wrote them, and the kernel's word on routes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createLegacyStore } from "../../src/agent/netfilter/legacy-store.ts";
import { createNetnsPictures } from "../../src/agent/netfilter/netns-picture.ts";
import { formatIp, parseIpAddress } from "../../src/core/address.ts";
import type { Packet } from "../../src/core/rules/match-packet.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { renderNft } from "../../src/core/rules/render-nft.ts";
import { sidecarInetRules, sidecarRules } from "../../src/core/rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../src/core/rules/sidecar-capture.ts";
import { TraceError, trace } from "../../src/core/rules/tracer.ts";
import { exec } from "../../src/platform/exec/exec.ts";
import { findProgram } from "../../src/platform/exec/find-program.ts";
import { readLegacyTables } from "../../src/platform/exec/legacy-tables.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";

const pictures = createNetnsPictures({
  openNetlink,
  hasNfTables: () => true,
  legacy: createLegacyStore({ exec, findProgram, legacyTables: readLegacyTables }),
  legacyTables: readLegacyTables,
});

function ip(text: string) {
  return parseIpAddress(text) ?? assert.fail(text);
}

const PACKET: Packet = {
  protocol: "tcp",
  source: ip("10.1.2.3"),
  destination: ip("10.2.0.9"),
  sport: 40000,
  dport: 80,
  interface: "eth0",
  owner: { uid: 0, gid: 0 },
};

async function endOf(netns: TestNetns, packet: Partial<Packet> = {}, way: "inbound" | "outbound" = "outbound") {
  const { rulesets } = await pictures.take(netns.fd);
  try {
    const { end } = trace(rulesets, { ...PACKET, ...packet }, way);
    return "port" in end ? `${end.kind} ${end.port}` : end.kind;
  } catch (error) {
    if (error instanceof TraceError) return error.message;
    throw error;
  }
}

function nft(netns: TestNetns, text: string): void {
  // nft wants each brace that ends a block behind a line break.
  netns.mustExec(["nft", "-f", "-"], { input: text.replace(/ \} \}$/, "\n}\n}\n") });
}

const V4 = { ...DEFAULT_SIDECAR_CAPTURE, families: { v4: true, v6: false } };

test("a namespace without rules touches nothing, with ours it redirects, in every dialect", async () => {
  const [ruleset] = sidecarRules(V4);
  assert.ok(ruleset !== undefined);
  const loads: ((netns: TestNetns) => void)[] = [
    (netns) => netns.mustExec(["iptables-nft-restore"], { input: renderIptables(ruleset) }),
    (netns) => nft(netns, renderNft(sidecarInetRules(V4))),
    (netns) => netns.mustExec(["iptables-legacy-restore"], { input: renderIptables(ruleset) }),
  ];
  for (const load of loads) {
    using netns = createNetns();
    assert.equal(await endOf(netns), "untouched");
    load(netns);
    assert.equal(await endOf(netns), "redirected 15001");
    assert.equal(await endOf(netns, { owner: { uid: 1337, gid: 1337 } }), "untouched");
    assert.equal(await endOf(netns, { destination: ip("10.1.2.3") }, "inbound"), "redirected 15006");
  }
});

test("rules of others are followed where they are understood, and stopped at where they are not", async () => {
  using netns = createNetns();
  netns.mustExec("iptables-nft -A OUTPUT -p tcp --dport 81 -m comment --comment no -j DROP".split(" "));
  netns.mustExec("iptables-nft -A OUTPUT -p tcp --dport 82 -m length --length 64 -j DROP".split(" "));
  netns.mustExec(["iptables-nft", "-I", "OUTPUT", "-j", "LOG"]);
  assert.equal(await endOf(netns), "untouched", "a log says nothing, a rule for another port neither");
  assert.equal(await endOf(netns, { dport: 81 }), "dropped");
  assert.match(
    await endOf(netns, { dport: 82 }),
    /^Cannot trace filter OUTPUT: match length revision 0 is not understood$/,
  );

  nft(netns, "table ip6 guard { chain out { type filter hook output priority 0; policy drop; } }");
  assert.equal(await endOf(netns), "untouched", "it is of another family");
  nft(netns, "table ip guard { chain out { type filter hook output priority 5; tcp dport { 83, 84 } drop; } }");
  assert.match(await endOf(netns, { dport: 83 }), /^Cannot trace guard out: /);
  nft(
    netns,
    "table inet wall { chain out { type filter hook output priority 3; tcp dport { 85, 86 } drop; tcp dport 90-99 drop; } }",
  );
  assert.equal(await endOf(netns, { dport: 85 }), "dropped");
  assert.match(await endOf(netns, { dport: 95 }), /^Cannot trace guard out|^Cannot trace wall out/);
});

test("a set of port ranges is not taken for a set of their ends", async () => {
  using netns = createNetns();
  nft(
    netns,
    "table inet wall { set some { type inet_service; flags interval; elements = { 1000-2000, 3000 } }\nchain out { type filter hook output priority 3; tcp dport @some drop; } }",
  );
  for (const dport of [1000, 1500, 2001, 80]) {
    assert.match(await endOf(netns, { dport }), /^Cannot trace wall out: /, String(dport));
  }
});

test("a table that is switched off decides nothing, and a chain at a device is told", async () => {
  using netns = createNetns();
  nft(netns, "table inet wall { flags dormant; chain out { type filter hook output priority 3; drop; } }");
  assert.equal(await endOf(netns), "untouched");
  nft(netns, "table netdev early { chain in { type filter hook ingress device lo priority 0; drop; } }");
  const { deviceChains, unread } = await pictures.take(netns.fd);
  assert.deepEqual(deviceChains, [{ table: "early", chain: "in", direction: "inbound" }]);
  assert.equal(unread, undefined);
});

test("legacy tables that no program reads are told", async () => {
  using netns = createNetns();
  netns.mustExec(["iptables-legacy", "-t", "nat", "-A", "OUTPUT", "-j", "RETURN"]);
  const blind = createNetnsPictures({
    openNetlink,
    hasNfTables: () => true,
    legacy: { isAvailable: () => false, read: () => assert.fail("it cannot be read") },
    legacyTables: readLegacyTables,
  });
  assert.match((await blind.take(netns.fd)).unread ?? "", /^there are tables of iptables-legacy \(nat\)/);
});

test("the kernel is asked which way a packet goes, by its mark too", () => {
  using netns = createNetns();
  const question = (destination: string, mark = 0) => ({ destination: ip(destination), mark, uid: 0 });
  assert.partialDeepStrictEqual(pictures.route(netns.fd, question("10.2.0.9")), { kind: "none" });
  assert.partialDeepStrictEqual(pictures.route(netns.fd, question("fd00::9")), { kind: "none" });
  netns.mustExec(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"]);
  for (const link of ["eth0", "peer0"]) netns.mustExec(["ip", "link", "set", link, "up"]);
  netns.mustExec(["ip", "addr", "add", "10.1.2.3/24", "dev", "eth0"]);
  netns.mustExec(["ip", "-6", "addr", "add", "fd00::5/64", "dev", "eth0", "nodad"]);
  netns.mustExec(["ip", "route", "add", "default", "via", "10.1.2.1"]);
  netns.mustExec(["ip", "rule", "add", "fwmark", "0x111/0xfff", "lookup", "100", "priority", "100"]);
  netns.mustExec(["ip", "route", "add", "local", "default", "dev", "lo", "table", "100"]);
  netns.mustExec(["ip", "route", "add", "blackhole", "10.9.0.0/16"]);
  const told = (destination: string, mark = 0) => {
    const answer = pictures.route(netns.fd, question(destination, mark));
    return [answer.kind, answer.kind === "none" || answer.source === undefined ? "-" : formatIp(answer.source)];
  };
  assert.deepEqual(told("10.2.0.9"), ["out", "10.1.2.3"]);
  assert.deepEqual(told("10.2.0.9", 0x111), ["local", "10.2.0.9"]);
  assert.deepEqual(told("10.1.2.3"), ["local", "10.1.2.3"]);
  assert.deepEqual(told("127.0.0.1"), ["local", "127.0.0.1"]);
  assert.deepEqual(told("fd00::5"), ["local", "fd00::5"]);
  assert.deepEqual(told("fd00::9"), ["out", "fd00::5"]);
  assert.equal(told("10.9.1.1")[0], "none");
});
