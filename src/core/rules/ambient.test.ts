import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { AMBIENT_CASES, DEFAULT_AMBIENT_CAPTURE } from "../../../testbed/ambient/ambient-cases.ts";
import { formatCidr } from "../address.ts";
import { ambientHostInetRules, ambientHostRules } from "./ambient-host.ts";
import { DEFAULT_PROBE_SOURCE } from "./ambient-numbers.ts";
import { ambientInetRules, ambientNetwork, ambientRules } from "./ambient-pod.ts";
import type { Ruleset } from "./model.ts";
import { renderIptables } from "./render-iptables.ts";
import { renderNft } from "./render-nft.ts";

const BOTH = { v4: true, v6: true };

for (const [name, capture] of Object.entries(AMBIENT_CASES)) {
  test(`ambientRules() gives the rules of testdata/ambient/${name}.iptables`, () => {
    assertGolden(`${name}.iptables`, iptablesText(ambientRules(capture)));
  });

  test(`ambientInetRules() gives the rules of testdata/ambient/${name}.nft`, () => {
    assertGolden(`${name}.nft`, nftText(ambientInetRules(capture)));
    if (!capture.families.v4 || !capture.families.v6) return;
    const onlyV4 = { ...capture, families: { v4: true, v6: false } };
    assertGolden(`${name}.v4.nft`, nftText(ambientInetRules(onlyV4)));
  });

  test(`${name}: every rule says why it is there, every jump has its chain, every own chain has rules`, () => {
    // Upstream jumps there in any case: nothing that comes in is redirected then.
    const mayBeEmpty = !capture.captureInbound && capture.virtualInterfaces.length === 0;
    for (const ruleset of [...ambientRules(capture), ...ambientInetRules(capture)]) {
      assertWellFormed(ruleset, mayBeEmpty ? ["nat ISTIO_PRERT", "istio-ambient-nat istio-prerouting"] : []);
    }
  });
}

test("ambientHostRules() and ambientHostInetRules() give the rules of testdata/ambient/host", () => {
  const host = { families: BOTH, probeSource: DEFAULT_PROBE_SOURCE };
  assertGolden("host.iptables", iptablesText(ambientHostRules(host)));
  assertGolden("host.nft", nftText(ambientHostInetRules(host, 0)));
  for (const ruleset of [...ambientHostRules(host), ...ambientHostInetRules(host, 0)]) assertWellFormed(ruleset);
});

test("the host's jump stands before the rules of others, and nothing else of ours claims to", () => {
  const host = { families: BOTH, probeSource: DEFAULT_PROBE_SOURCE };
  const first = rulesOf([...ambientHostRules(host), ...ambientRules(DEFAULT_AMBIENT_CAPTURE)]).filter(
    ({ isFirst }) => isFirst === true,
  );
  assert.deepEqual(
    first.map(({ verdict }) => verdict),
    new Array(2).fill({ kind: "jump", chain: "ISTIO_POSTRT" }),
  );
});

test("rules are written for the families asked for and no other", () => {
  const families = (v4: boolean, v6: boolean) => {
    const capture = { ...DEFAULT_AMBIENT_CAPTURE, families: { v4, v6 } };
    return [ambientRules(capture), ambientHostRules(capture)].map((rulesets) => rulesets.map(({ family }) => family));
  };
  assert.deepEqual(families(true, false), [[4], [4]]);
  assert.deepEqual(families(false, true), [[6], [6]]);
  assert.deepEqual(families(true, true), [
    [4, 6],
    [4, 6],
  ]);
  assert.deepEqual(families(false, false), [[], []]);
  const none = { ...DEFAULT_AMBIENT_CAPTURE, families: { v4: false, v6: false } };
  assert.deepEqual([ambientInetRules(none), ambientHostInetRules(none, 0)], [[], []]);
});

test("in native nftables every redirection is of a family that is captured, and IPv6 is exempted wherever it is redirected (D32)", () => {
  for (const name of ["v4-all", "v6-all"]) {
    const capture = AMBIENT_CASES[name] ?? assert.fail(name);
    const text = nftText(ambientInetRules(capture));
    const [own, other] = capture.families.v4 ? ["ip ", "ip6 "] : ["ip6 ", "ip "];
    for (const line of text.split("\n").filter((each) => each.includes("redirect to"))) {
      const nfproto = `meta nfproto ipv${capture.families.v4 ? 4 : 6} `;
      assert.ok(line.includes(`${own}daddr`) || line.includes(nfproto), line);
    }
    assert.ok(!text.includes(`${other}daddr`) && !text.includes(`${other}saddr`), name);
  }
  const both = nftText(ambientInetRules(AMBIENT_CASES["all"] ?? assert.fail()));
  assert.ok(!both.includes("nfproto"), "where both are captured the text is upstream's");
  for (const exempted of ["ip6 saddr fd16:9254", "ip6 daddr fd16:9254", 'oifname "lo" ip6 daddr != ::1']) {
    assert.ok(both.includes(exempted), exempted);
  }
});

test("without DNS capture nothing of the raw table is left to write", () => {
  const without = AMBIENT_CASES["default"] ?? assert.fail();
  const names = [...ambientRules(without), ...ambientInetRules(without)].flatMap(({ tables }) =>
    tables.map(({ name }) => name),
  );
  assert.deepEqual([...new Set(names)].toSorted(), ["istio-ambient-mangle", "istio-ambient-nat", "mangle", "nat"]);
});

test("ambientNetwork() asks for each captured family on its own (D13)", () => {
  const summary = (v4: boolean, v6: boolean) => {
    const { addresses, policyRules, routes } = ambientNetwork({ ...DEFAULT_AMBIENT_CAPTURE, families: { v4, v6 } });
    assert.deepEqual(addresses, []);
    return [
      ...policyRules.map(({ family, fwmark, fwmask, table, priority }) =>
        [family, fwmark.toString(16), fwmask.toString(16), table, priority].join(" "),
      ),
      ...routes.map(({ destination, table }) => `${formatCidr(destination)} ${table}`),
    ];
  };
  assert.deepEqual(summary(true, false), ["4 111 fff 100 32764", "0.0.0.0/0 100"]);
  assert.deepEqual(summary(false, true), ["6 111 fff 100 32764", "::/0 100"]);
  assert.deepEqual(summary(true, true), ["4 111 fff 100 32764", "6 111 fff 100 32764", "0.0.0.0/0 100", "::/0 100"]);
});

test("an interface name that a tool could read as something else is refused before it is in a rule (CVE-2026-23766)", () => {
  const hostile = [
    "",
    "eth0 -j ACCEPT",
    "eth0\n-A OUTPUT -j DROP",
    "eth+",
    "-j",
    "!",
    "0eth",
    "éth0",
    "vnet0 ",
    "a-name-of-16-ch.",
  ];
  for (const name of hostile) {
    const capture = { ...DEFAULT_AMBIENT_CAPTURE, virtualInterfaces: ["vnet0", name] };
    assert.throws(() => ambientRules(capture), RangeError, JSON.stringify(name));
    assert.throws(() => ambientInetRules(capture), RangeError, JSON.stringify(name));
  }
  ambientRules({ ...DEFAULT_AMBIENT_CAPTURE, virtualInterfaces: ["a", "fifteen-chars.x"] });
});

test("a probe source of the wrong family is refused where that family is captured", () => {
  const probeSource = { v4: DEFAULT_PROBE_SOURCE.v6, v6: DEFAULT_PROBE_SOURCE.v6 };
  assert.throws(() => ambientRules({ ...DEFAULT_AMBIENT_CAPTURE, probeSource }), /IPv4 source is an IPv6 address/);
  assert.throws(() => ambientHostRules({ families: BOTH, probeSource }), RangeError);
});

function assertWellFormed({ tables }: Ruleset, empty: readonly string[] = []): void {
  for (const { name: table, chains } of tables) {
    for (const chain of chains) {
      const place = `${table} ${chain.name}`;
      assert.equal(chain.rules.length === 0, empty.includes(place), place);
      for (const { intent, verdict } of chain.rules) {
        assert.ok(intent.length > 10 && !intent.endsWith("."), intent);
        assert.ok(verdict.kind !== "jump" || chains.some((other) => other.name === verdict.chain));
      }
    }
  }
}

function rulesOf(rulesets: readonly Ruleset[]) {
  return rulesets.flatMap(({ tables }) => tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules)));
}

function iptablesText(rulesets: readonly Ruleset[]): string {
  return rulesets.map((ruleset) => `# IPv${ruleset.family}\n${renderIptables(ruleset, { withIntent: true })}`).join("");
}

function nftText(rulesets: readonly Ruleset[]): string {
  return rulesets.map((ruleset) => renderNft(ruleset, { withIntent: true })).join("");
}

/** UPDATE_GOLDEN=1 writes the file instead. */
function assertGolden(file: string, text: string): void {
  const golden = new URL(`testdata/ambient/${file}`, import.meta.url);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(golden, text);
  assert.equal(text, readFileSync(golden, "utf8"));
}
