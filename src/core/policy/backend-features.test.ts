import assert from "node:assert/strict";
import { test } from "node:test";
import { AMBIENT_CASES, DEFAULT_AMBIENT_CAPTURE } from "../../../testbed/ambient/ambient-cases.ts";
import { SIDECAR_CASES } from "../../../testbed/sidecar/sidecar-cases.ts";
import { FAMILIES } from "../address.ts";
import { type PodCapture, podInetRules, podRules } from "../rules/pod-capture.ts";
import { sidecarRules } from "../rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { FEATURE_NAMES, featureProbe, featuresOf } from "./backend-features.ts";

/** What every nf_tables can do. */
const BASIC = ["nfproto", "iifname", "oifname", "protocol", "source", "destination", "sport", "dport"];
/** Part of x_tables itself, not of a module that can be missing. */
const BASIC_IN_XTABLES = ["any-port"];
const BASIC_VERDICTS = ["return", "accept", "drop", "jump"];

test("every kind of match and verdict that any capture uses belongs to a feature or is basic", () => {
  const captures: PodCapture[] = [...Object.values(SIDECAR_CASES), ...Object.values(AMBIENT_CASES)];
  const rulesets = captures.flatMap((capture) => [...podRules(capture), ...podInetRules(capture)]);
  for (const ruleset of rulesets) {
    for (const rule of ruleset.tables.flatMap(({ chains }) => chains.flatMap((chain) => chain.rules))) {
      for (const kind of [...rule.matches.map((match) => match.kind), rule.verdict.kind]) {
        if ([...BASIC, ...BASIC_IN_XTABLES, ...BASIC_VERDICTS].includes(kind)) continue;
        const alone = {
          family: 4,
          tables: [{ name: "nat", chains: [{ kind: "own", name: "X", rules: [rule] }] }],
        } as const;
        assert.notDeepEqual(featuresOf([alone]), [], kind);
      }
    }
  }
});

test("the probe of a feature uses that feature, in both dialects and families", () => {
  for (const feature of FEATURE_NAMES) {
    for (const family of FAMILIES) {
      const [first] = featuresOf([featureProbe("iptables-nft", [feature], family)]);
      assert.deepEqual(first, { feature, family });
      const native = featuresOf([featureProbe("nftables", [feature], family)]);
      assert.ok(native.some((used) => used.feature === feature && used.family === family));
    }
  }
});

test("a pod without annotations needs to know the owner and to redirect, and nothing else", () => {
  assert.deepEqual(featuresOf(sidecarRules(DEFAULT_SIDECAR_CAPTURE)), [
    { feature: "owner", family: 4 },
    { feature: "redirect", family: 4 },
  ]);
});

test("an ambient pod needs marks of packets and connections and to redirect; zones with DNS only, no owner and no TPROXY", () => {
  const needed = (capture: PodCapture) => [...new Set(featuresOf(podRules(capture)).map(({ feature }) => feature))];
  assert.deepEqual(needed(DEFAULT_AMBIENT_CAPTURE), ["redirect", "mark", "connmark"]);
  const withDns = needed({ ...DEFAULT_AMBIENT_CAPTURE, captureDns: true });
  assert.deepEqual(withDns, ["redirect", "mark", "connmark", "conntrack zone"]);
});
