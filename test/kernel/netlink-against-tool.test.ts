// What we send to the kernel against what the tools send for the same rules, captured by a preloaded shim and compared by
// meaning. What a tool sends depends on its version: the first test pins both.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { encodeIptablesNft } from "../../src/core/netlink/iptables-nft.ts";
import { decodeRule, encodeRule } from "../../src/core/netlink/iptables-nft-rule.ts";
import { attributeMap, parseMessages, readString } from "../../src/core/netlink/message.ts";
import { encodeNativeNft } from "../../src/core/netlink/native-nft.ts";
import { decodeNativeRule } from "../../src/core/netlink/native-nft-rule.ts";
import { NFGENMSG_BYTES, NFT_MSG, NFTA_CHAIN, NFTA_RULE } from "../../src/core/netlink/nfnetlink.ts";
import { assembleNftDump } from "../../src/core/netlink/nft-dump.ts";
import type { Expression } from "../../src/core/netlink/nft-expression.ts";
import { parseExpressions } from "../../src/core/netlink/nft-expression.ts";
import { NETLINK_PROTOCOL } from "../../src/core/netlink/rtnetlink.ts";
import type { SetNumbers } from "../../src/core/netlink/xt-match.ts";
import { ambientHostInetRules, ambientHostRules } from "../../src/core/rules/ambient-host.ts";
import { DEFAULT_PROBE_SOURCE, PROBE_SETS } from "../../src/core/rules/ambient-numbers.ts";
import { ambientInetRules, ambientRules } from "../../src/core/rules/ambient-pod.ts";
import { ruleKey } from "../../src/core/rules/compare.ts";
import type { Rule, Ruleset } from "../../src/core/rules/model.ts";
import { renderIptables, renderIptablesRule } from "../../src/core/rules/render-iptables.ts";
import { renderNft } from "../../src/core/rules/render-nft.ts";
import { sidecarRules } from "../../src/core/rules/sidecar.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { AMBIENT_CASES } from "../../testbed/ambient/ambient-cases.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { SIDECAR_CASES } from "../../testbed/sidecar/sidecar-cases.ts";
import { dumpNft, mustSendBatch } from "./netlink-exchange.ts";

const HOST = { families: { v4: true, v6: true }, probeSource: DEFAULT_PROBE_SOURCE };
const NATIVE_SETS = `table inet istio-ambient-nat {
  set ${PROBE_SETS[4]} { type ipv4_addr; }
  set ${PROBE_SETS[6]} { type ipv6_addr; }
}
`;

let folder = "";
let captures = 0;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "netlink-capture-"));
  const source = new URL("netlink-capture.c", import.meta.url).pathname;
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim(), source, "-ldl"], {
    timeout: 60_000,
  });
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("the tools are of the versions whose messages ours are", () => {
  using netns = createNetns();
  const version = (tool: string) => netns.mustExec([tool, "--version"]).trim();
  assert.equal(version("iptables-nft-restore"), "iptables-nft-restore v1.8.9 (nf_tables)");
  assert.match(version("nft"), /^nftables v1\.0\.6 /);
  assert.match(version("ipset"), /^ipset v7\.17, protocol version: 7/);
});

const POD_RULES: [name: string, rulesets: readonly Ruleset[]][] = [
  ...Object.entries(SIDECAR_CASES).map(([name, capture]): [string, Ruleset[]] => [name, sidecarRules(capture)]),
  ...Object.entries(AMBIENT_CASES).map(([name, capture]): [string, Ruleset[]] => [
    `ambient ${name}`,
    ambientRules(capture),
  ]),
];

for (const [name, rulesets] of POD_RULES) {
  test(`${name}: our batch says to the kernel what iptables-nft-restore 1.8.9 says for the same rules`, () => {
    for (const ruleset of rulesets) {
      using netns = createNetns({ loopbackUp: false });
      const ours = meaning(encodeIptablesNft([ruleset]));
      const theirs = meaning(captureTool(netns, ruleset));
      // The tool also makes base chains nobody uses, because the rendered text names them.
      for (const chain of theirs.keys())
        if (!ours.has(chain) && theirs.get(chain)?.rules.length === 0) theirs.delete(chain);
      assert.deepEqual(Object.fromEntries(ours), Object.fromEntries(theirs));
    }
  });
}

test("the host's rules: our expressions are those of iptables-nft-restore 1.8.9, and its rules read back as ours", () => {
  for (const ruleset of ambientHostRules(HOST)) {
    using netns = createNetns({ loopbackUp: false });
    makeIpsets(netns);
    const theirs = [...meaning(captureTool(netns, ruleset)).values()].flatMap(({ rules }) => rules);
    const ours = rulesOf(ruleset);
    assert.equal(theirs.length, 2);
    for (const [index, rule] of ours.entries()) {
      const expressions = encodeRule(rule, ruleset.family === 4 ? 4 : 6, IPSET_NUMBERS);
      assert.deepEqual(expressions, theirs[index]?.expressions);
    }
    using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
    const held = assembleNftDump(dumpNft(socket)).flatMap(({ chains }) => chains.flatMap(({ rules }) => rules));
    const family = ruleset.family === 4 ? 4 : 6;
    const read = held.map(({ expressions }) => decodeRule(expressions, family, IPSET_NUMBERS));
    for (const rule of ours) assert.ok(read.some((other) => ruleKey(other) === ruleKey(rule)));
    const save = netns.mustExec([family === 4 ? "iptables-nft-save" : "ip6tables-nft-save"]);
    for (const rule of ours.slice(1)) assert.ok(save.includes(renderIptablesRule("ISTIO_POSTRT", rule, family)), save);
  }
});

const NATIVE_RULES: [name: string, rulesets: readonly Ruleset[]][] = [
  ...Object.entries(AMBIENT_CASES).map(([name, capture]): [string, Ruleset[]] => [name, ambientInetRules(capture)]),
  ["host", ambientHostInetRules(HOST, 65_534)],
];

for (const [name, rulesets] of NATIVE_RULES) {
  test(`${name}: what nft 1.0.6 sends for our text reads as our rules, and what we send it lists as that text`, () => {
    const text = rulesets.map((ruleset) => renderNft(ruleset)).join("");
    using theirs = createNetns({ loopbackUp: false });
    const sets = name === "host" ? NATIVE_SETS : "";
    const sent = parseRules(captureNft(theirs, sets + text));
    const ours = rulesets.flatMap(rulesOf);
    assert.equal(sent.length, ours.length);
    const bySets = (): undefined => undefined; // no anonymous set is in them
    const wrong = ours.filter(
      (rule) => !sent.some((other) => ruleKey(decodeNativeRule(other, bySets)) === ruleKey(rule)),
    );
    assert.deepEqual(wrong, []);

    // Each of our rules in a kernel, read back and listed.
    using netns = createNetns({ loopbackUp: false });
    using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
    if (sets !== "") netns.mustExec(["nft", "-f", "-"], { input: sets });
    for (const ruleset of rulesets) mustSendBatch(socket, encodeNativeNft(ruleset));
    const listed = netns.mustExec(["nft", "-s", "list", "ruleset"]);
    assert.equal(withoutSets(listed), text);
    const held = assembleNftDump(dumpNft(socket)).flatMap(({ chains }) => chains.flatMap(({ rules }) => rules));
    assert.equal(held.length, ours.length);
    const missing = ours.filter(
      (rule) => !held.some(({ expressions }) => ruleKey(decodeNativeRule(expressions, bySets)) === ruleKey(rule)),
    );
    assert.deepEqual(missing, []);
  });
}

/** Two sets that are not ours before those that are, so that no number is 0 by chance. */
function makeIpsets(netns: TestNetns): void {
  netns.mustExec(["ipset", "create", "other", "hash:ip"]);
  netns.mustExec(["ipset", "create", "another", "hash:net"]);
  netns.mustExec(["ipset", "create", PROBE_SETS[4], "hash:ip", "comment"]);
  netns.mustExec(["ipset", "create", PROBE_SETS[6], "hash:ip", "family", "inet6", "comment"]);
}

/** The kernel numbers the sets of a namespace in the order in which they are made. */
const IPSET_NUMBERS: SetNumbers = {
  numberOf: (name) => (name === PROBE_SETS[4] ? 2 : name === PROBE_SETS[6] ? 3 : undefined),
  nameOf: (number) => ({ 2: PROBE_SETS[4], 3: PROBE_SETS[6] })[number],
};

function rulesOf({ tables }: Ruleset): Rule[] {
  return tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules));
}

function withoutSets(listed: string): string {
  return listed.replaceAll(/\tset [^}]*\}\n\n/g, "");
}

function parseRules(batches: Uint8Array): (readonly Expression[])[] {
  return [...meaning(batches).values()].flatMap(({ rules }) => rules.map(({ expressions }) => expressions));
}

function captureNft(netns: TestNetns, input: string): Uint8Array {
  const path = join(folder, `nft-${++captures}`);
  netns.mustExec(["nft", "-f", "-"], { input, env: { LD_PRELOAD: shim(), NETLINK_CAPTURE: path } });
  return new Uint8Array(readFileSync(path));
}

/** What a run of batches means: chain → how it is attached, and its rules (all are appended). */
type Meaning = Map<string, { attached: string; rules: { compat: string; expressions: readonly Expression[] }[] }>;

function meaning(batches: Uint8Array): Meaning {
  const chains: Meaning = new Map();
  for (const { type, payload } of parseMessages(batches)) {
    if (payload.length <= NFGENMSG_BYTES) continue;
    const attributes = attributeMap(payload.subarray(NFGENMSG_BYTES));
    const text = (attribute: number): string => readString(attributes.get(attribute) ?? new Uint8Array());
    const hex = (attribute: number): string => Buffer.from(attributes.get(attribute) ?? []).toString("hex");
    if (type === NFT_MSG.NEWCHAIN) {
      const key = `${payload[0]} ${text(NFTA_CHAIN.TABLE)} ${text(NFTA_CHAIN.NAME)}`;
      const attached = [hex(NFTA_CHAIN.HOOK), hex(NFTA_CHAIN.POLICY), text(NFTA_CHAIN.TYPE)].join(" ");
      if (!chains.has(key)) chains.set(key, { attached, rules: [] });
    }
    if (type === NFT_MSG.NEWRULE) {
      const chain = chains.get(`${payload[0]} ${text(NFTA_RULE.TABLE)} ${text(NFTA_RULE.CHAIN)}`);
      assert.ok(chain, "a chain is made before its rules");
      const expressions = parseExpressions(attributes.get(NFTA_RULE.EXPRESSIONS) ?? new Uint8Array());
      chain.rules.push({ compat: hex(NFTA_RULE.COMPAT), expressions });
    }
  }
  return chains;
}

function captureTool(netns: TestNetns, ruleset: Ruleset): Uint8Array {
  const tool = ruleset.family === 4 ? "iptables-nft-restore" : "ip6tables-nft-restore";
  const path = join(folder, `iptables-${++captures}`);
  const env = { LD_PRELOAD: shim(), NETLINK_CAPTURE: path };
  netns.mustExec([tool, "--noflush"], { input: renderIptables(ruleset), env });
  return new Uint8Array(readFileSync(path));
}

function shim(): string {
  return join(folder, "netlink-capture.so");
}
