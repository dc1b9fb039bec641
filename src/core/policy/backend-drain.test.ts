import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DEFAULT_PROBE_SOURCE } from "../rules/ambient-numbers.ts";
import type { Rule, Ruleset } from "../rules/model.ts";
import { type PodCapture, podInetRules, podRules } from "../rules/pod-capture.ts";
import { renderIptablesRule } from "../rules/render-iptables.ts";
import { jump, RETURN, redirect, rule, TCP } from "../rules/rule-words.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { drainSteps } from "./backend-drain.ts";

const V4 = { v4: true, v6: false } as const;
const AMBIENT: PodCapture = {
  mode: "ambient",
  families: V4,
  captureInbound: true,
  captureDns: true,
  virtualInterfaces: [],
  probeSource: DEFAULT_PROBE_SOURCE,
};

/** "nat/PREROUTING: -j ISTIO_PRERT", sorted. */
function told(held: readonly Ruleset[]): string[] {
  return drainSteps(held)
    .map((step) => `${step.table}: ${renderIptablesRule(step.chain, step.rule, 4)}`)
    .toSorted();
}

describe("drainSteps()", () => {
  it("takes ambient mode's jumps out of nat and raw, and leaves the way back to ztunnel", () => {
    const jumps = ["-A OUTPUT -j ISTIO_OUTPUT", "-A PREROUTING -j ISTIO_PRERT"];
    assert.deepEqual(
      told(podRules(AMBIENT)),
      ["nat", "raw"].flatMap((table) => jumps.map((line) => `${table}: ${line}`)),
    );
    const native = drainSteps(podInetRules(AMBIENT)).map(({ table, chain }) => `${table} ${chain}`);
    assert.deepEqual(native.toSorted(), [
      "istio-ambient-nat output",
      "istio-ambient-nat prerouting",
      "istio-ambient-raw output",
      "istio-ambient-raw prerouting",
    ]);
  });

  it("takes TPROXY's jump out of mangle, where it would divert new connections, and leaves the proxy's marks", () => {
    const capture: PodCapture = { ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY" };
    assert.deepEqual(told(podRules(capture)), [
      "mangle: -A PREROUTING -p tcp -j ISTIO_INBOUND",
      "nat: -A OUTPUT -j ISTIO_OUTPUT",
    ]);
  });

  it("has nothing to do where that is done", () => {
    for (const held of [podRules(AMBIENT), podInetRules(AMBIENT), podRules(DEFAULT_SIDECAR_CAPTURE)]) {
      const gone = new Set<Rule>(drainSteps(held).map((step) => step.rule));
      const after = held.map(({ family, tables }) => ({
        family,
        tables: tables.map(({ name, chains }) => ({
          name,
          chains: chains.map((chain) => ({ ...chain, rules: chain.rules.filter((each) => !gone.has(each)) })),
        })),
      }));
      assert.ok(gone.size > 0);
      assert.deepEqual(drainSteps(after), []);
    }
  });

  it("leaves rules of others alone, and trusts no chain of ours that holds more than marks", () => {
    const [mangle] = podRules(AMBIENT)[0]?.tables.filter(({ name }) => name === "mangle") ?? [];
    assert.ok(mangle !== undefined);
    const nat = {
      name: "nat",
      chains: [
        {
          ...({ kind: "base", name: "OUTPUT", type: "nat", hook: "output", priority: -100, policy: "accept" } as const),
          rules: [rule("", [TCP], jump("OTHERS")), rule("", [TCP], redirect(1)), rule("", [TCP], jump("ISTIO_OUTPUT"))],
        },
      ],
    };
    assert.deepEqual(told([{ family: 4, tables: [nat] }]), ["nat: -A OUTPUT -p tcp -j ISTIO_OUTPUT"]);
    const altered = {
      ...mangle,
      chains: mangle.chains.map((chain) =>
        chain.name === "ISTIO_PRERT" ? { ...chain, rules: [...chain.rules, rule("", [TCP], RETURN)] } : chain,
      ),
    };
    assert.deepEqual(told([{ family: 4, tables: [altered] }]), ["mangle: -A PREROUTING -j ISTIO_PRERT"]);
  });
});
