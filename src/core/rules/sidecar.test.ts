import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { SIDECAR_CASES } from "../../../testbed/sidecar/sidecar-cases.ts";
import { formatCidr, parseCidr } from "../address.ts";
import { findBaseChain } from "./iptables-tables.ts";
import { renderIptables } from "./render-iptables.ts";
import { renderNft } from "./render-nft.ts";
import { sidecarInetRules, sidecarNetwork, sidecarRules } from "./sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "./sidecar-capture.ts";

for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
  test(`sidecarRules() gives the rules of testdata/sidecar/${name}.iptables`, () => {
    const text = sidecarRules(capture)
      .map((ruleset) => `# IPv${ruleset.family}\n${renderIptables(ruleset, { withIntent: true })}`)
      .join("");
    assertGolden(`${name}.iptables`, text);
  });

  test(`sidecarInetRules() gives the rules of testdata/sidecar/${name}.nft`, () => {
    assertGolden(`${name}.nft`, renderNft(sidecarInetRules(capture), { withIntent: true }));
  });

  test(`${name}: every rule says why it is there, every jump has its chain, every own chain has rules`, () => {
    for (const { tables } of sidecarRules(capture)) {
      for (const { name: table, chains } of tables) {
        for (const chain of chains) {
          assert.equal(chain.kind === "base", findBaseChain(table, chain.name) !== undefined);
          assert.ok(chain.rules.length > 0, `${table} ${chain.name}`);
          for (const { intent, verdict } of chain.rules) {
            assert.ok(intent.length > 10 && !intent.endsWith("."), intent);
            assert.ok(verdict.kind !== "jump" || chains.some((other) => other.name === verdict.chain));
          }
        }
      }
    }
  });
}

test("native rules exempt a family wherever they redirect it, and leave one alone that is not captured (D32)", () => {
  const native = (v4: boolean, v6: boolean): string =>
    renderNft(sidecarInetRules({ ...(SIDECAR_CASES["tproxy-interfaces"] ?? assert.fail()), families: { v4, v6 } }));
  assert.match(native(true, true), /ip6 daddr ::1 counter return/);
  for (const [text, left, captured] of [
    [native(true, false), "ipv6", "ip"],
    [native(false, true), "ipv4", "ip6"],
  ] as const) {
    const heads = [...text.matchAll(/policy accept;\n\t\t(.*)/g)].map(([, first]) => first);
    assert.equal(heads.length, 4);
    assert.ok(heads.every((head) => head === `meta nfproto ${left} counter return`));
    assert.match(text, new RegExp(`tproxy ${captured} to :15006`));
    assert.doesNotMatch(text, captured === "ip" ? /ip6 / : /ip [sd]addr|tproxy ip /);
  }
  assert.equal(native(false, false), "");
});

test("sidecarRules() writes the families asked for and no other", () => {
  const families = (v4: boolean, v6: boolean) =>
    sidecarRules({ ...DEFAULT_SIDECAR_CAPTURE, families: { v4, v6 } }).map(({ family }) => family);
  assert.deepEqual([families(true, false), families(false, true), families(true, true)], [[4], [6], [4, 6]]);
});

test("sidecarRules() leaves out a rule that can never match and a condition that always holds", () => {
  const everything = parseCidr("0.0.0.0/0") ?? assert.fail();
  const [ruleset] = sidecarRules({ ...DEFAULT_SIDECAR_CAPTURE, loopbackCidrV4: everything });
  const text = renderIptables(ruleset ?? assert.fail());
  assert.ok(!text.includes("0.0.0.0/0"));
  assert.ok(!text.includes("-j ISTIO_IN_REDIRECT\n-A ISTIO_OUTPUT"), "nothing on lo is outside 0.0.0.0/0");
});

test("sidecarNetwork() asks for ::6 where IPv6 is captured, and for mark routing where TPROXY captures inbound", () => {
  const summary = (name: string, families: { v4: boolean; v6: boolean }) => {
    const { addresses, policyRules, routes } = sidecarNetwork({ ...(SIDECAR_CASES[name] ?? assert.fail()), families });
    return [
      ...addresses.map(({ cidr }) => formatCidr(cidr)),
      ...policyRules.map(({ family, fwmark, table, priority }) => `rule${family} ${fwmark} ${table} ${priority}`),
      ...routes.map(({ destination, table }) => `${formatCidr(destination)} ${table}`),
    ];
  };
  assert.deepEqual(summary("default", { v4: true, v6: false }), []);
  assert.deepEqual(summary("default", { v4: true, v6: true }), ["::6/128"]);
  assert.deepEqual(summary("tproxy", { v4: true, v6: false }), ["rule4 1337 133 32765", "0.0.0.0/0 133"]);
  const both = ["::6/128", "rule4 1337 133 32765", "rule6 1337 133 32765", "0.0.0.0/0 133", "::/0 133"];
  assert.deepEqual(summary("tproxy-dns-drop-invalid", { v4: true, v6: true }), both);
  assert.deepEqual(summary("tproxy-no-inbound", { v4: true, v6: true }), ["::6/128"]);
});

/** UPDATE_GOLDEN=1 writes the file instead. */
function assertGolden(file: string, text: string): void {
  const golden = new URL(`testdata/sidecar/${file}`, import.meta.url);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(golden, text);
  assert.equal(text, readFileSync(golden, "utf8"));
}
