import assert from "node:assert/strict";
import { test } from "node:test";
import { FAMILIES } from "../../src/core/address.ts";
import { encodeIptablesNft, encodeIptablesNftChange } from "../../src/core/netlink/iptables-nft.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import { ruleKey } from "../../src/core/rules/compare.ts";
import type { Rule, Ruleset } from "../../src/core/rules/model.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { sidecarRules } from "../../src/core/rules/sidecar.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { createNetns } from "../../testbed/netns.ts";
import { SIDECAR_CASES } from "../../testbed/sidecar/sidecar-cases.ts";
import { dumpIptables, mustSendBatch, sendBatch } from "./netlink-exchange.ts";

const TOOL = { 4: "iptables-nft", 6: "ip6tables-nft" } as const;
const EEXIST = 17;

test("the tool these tests compare with is iptables 1.8.9 on nf_tables", () => {
  using netns = createNetns();
  assert.equal(netns.mustExec(["iptables-nft-save", "--version"]).trim(), "iptables-nft-save v1.8.9 (nf_tables)");
});

for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
  test(`${name}: our batch leaves what iptables-restore leaves of the same rules, and both read back as the model`, () => {
    const rulesets = sidecarRules(capture);
    using ours = createNetns();
    using theirs = createNetns();
    using ourSocket = openNetlink(NETLINK_PROTOCOL.netfilter, ours.fd);
    using theirSocket = openNetlink(NETLINK_PROTOCOL.netfilter, theirs.fd);
    mustSendBatch(ourSocket, encodeIptablesNft(rulesets));
    for (const ruleset of rulesets) restore(theirs, ruleset);
    for (const family of FAMILIES) {
      const rendered = rulesets.find((ruleset) => ruleset.family === family);
      assert.ok(rendered);
      assert.equal(save(ours, family), save(theirs, family));
      assert.equal(save(ours, family), renderIptables(rendered));
    }
    assertHeld(dumpIptables(ourSocket), rulesets);
    assertHeld(dumpIptables(theirSocket), rulesets);
  });
}

test("a second batch is refused whole and changes nothing", () => {
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  const batch = encodeIptablesNft(sidecarRules(sidecarCase("default")));
  mustSendBatch(socket, batch);
  const before = save(netns, 4);
  const outcome = sendBatch(socket, batch);
  assert.equal(outcome.kind === "refused" ? outcome.refusals[0]?.errno : undefined, EEXIST);
  assert.equal(save(netns, 4), before);
});

test("rules of others stay, before and after ours, and removing ours leaves exactly theirs", () => {
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  const foreign = [
    "*nat",
    ":CNI-DN - [0:0]",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-DN",
    "-A OUTPUT -d 10.1.1.1/32 -p tcp -m tcp --dport 1:5 -j RETURN",
    "-A CNI-DN -p tcp -m tcp --dport 8080 -m comment --comment theirs -j DNAT --to-destination 10.0.0.2:80",
    "COMMIT",
    "*filter",
    "-A INPUT -i eth+ -j ACCEPT",
    "COMMIT",
    "",
  ].join("\n");
  netns.mustExec(["iptables-nft-restore", "--noflush"], { input: foreign });
  const before = rulesOf(save(netns, 4));
  for (const capture of [sidecarCase("tproxy-dns-drop-invalid"), sidecarCase("interfaces")]) {
    const rulesets = sidecarRules(capture);
    mustSendBatch(socket, encodeIptablesNft(rulesets));
    const merged = rulesOf(save(netns, 4));
    for (const line of before) assert.ok(merged.includes(line), line);
    for (const line of rulesOf(renderIptables(rulesets[0] ?? { family: 4, tables: [] })))
      assert.ok(merged.includes(line), line);
    assert.match(merged.find((line) => line.startsWith("-A PREROUTING")) ?? "", /CNI-DN|INVALID|eth1/);
    netns.mustExec(["iptables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT"]);
    const removal = encodeIptablesNftChange(dumpIptables(socket), [], { formerly: rulesets });
    assert.ok(removal);
    mustSendBatch(socket, removal);
    netns.mustExec(["iptables-nft", "-t", "nat", "-D", "OUTPUT", "-p", "udp", "-j", "ACCEPT"]);
    assert.deepEqual(rulesOf(save(netns, 4)), before);
    assert.equal(encodeIptablesNftChange(dumpIptables(socket), [], { formerly: rulesets }), undefined);
  }
});

test("a batch for another generation is refused", () => {
  using netns = createNetns();
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  const outcome = sendBatch(socket, encodeIptablesNft(sidecarRules(sidecarCase("default")), { generation: 4711 }));
  assert.equal(outcome.kind === "refused" ? outcome.refusals[0]?.errno : undefined, 85);
  assert.deepEqual(rulesOf(save(netns, 4)), []);
});

function sidecarCase(name: string) {
  const capture = SIDECAR_CASES[name];
  assert.ok(capture);
  return capture;
}

function restore(netns: TestNetns, ruleset: Ruleset): void {
  assert.ok(ruleset.family !== "inet");
  netns.mustExec([`${TOOL[ruleset.family]}-restore`, "--noflush"], {
    input: renderIptables(ruleset, { withIntent: true, withoutPolicies: true }),
  });
}

function save(netns: TestNetns, family: 4 | 6): string {
  const lines = netns.mustExec([`${TOOL[family]}-save`]).split("\n");
  return lines.filter((line) => !line.startsWith("#")).join("\n");
}

function rulesOf(text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith("-A"));
}

/** Every chain with its rules, nothing more and nothing less. */
function assertHeld(held: readonly Ruleset[], expected: readonly Ruleset[]): void {
  assert.deepEqual(held.map(withoutNotes), expected.map(withoutNotes));
  const pairs = held.map((ruleset, index) => [allRules(ruleset), allRules(expected[index] ?? ruleset)] as const);
  for (const [rules, others] of pairs) {
    assert.deepEqual(rules.map(ruleKey), others.map(ruleKey));
    assert.ok(!rules.map(ruleKey).includes(undefined));
  }
}

function withoutNotes(ruleset: Ruleset) {
  const tables = ruleset.tables.map(({ name, chains }) => ({
    name,
    chains: chains.map((chain) => ({
      ...chain,
      rules: chain.rules.map(({ matches, verdict }) => ({ matches, verdict })),
    })),
  }));
  return { family: ruleset.family, tables };
}

function allRules(ruleset: Ruleset): Rule[] {
  return ruleset.tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules));
}
