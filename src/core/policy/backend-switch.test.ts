import assert from "node:assert/strict";
import { test } from "node:test";
import { SIDECAR_CASES } from "../../../testbed/sidecar/sidecar-cases.ts";
import type { IpAddress } from "../address.ts";
import type { Packet } from "../rules/match-packet.ts";
import type { Ruleset } from "../rules/model.ts";
import { renderIptables } from "../rules/render-iptables.ts";
import { sidecarInetRules, sidecarRules } from "../rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../rules/sidecar-capture.ts";
import { trace } from "../rules/tracer.ts";
import { besideAnother, disturbsAnother, joinRulesets } from "./backend-switch.ts";

const TPROXY: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY" };
const ip = (...bytes: number[]): IpAddress => ({ family: 4, bytes: Uint8Array.from(bytes) });
const FROM_CLIENT: Packet = {
  protocol: "tcp",
  source: ip(10, 0, 0, 9),
  destination: ip(10, 0, 0, 2),
  sport: 40000,
  dport: 8080,
  interface: "eth0",
};
/** As the proxy sends it to the application: marked, over lo. */
const FROM_PROXY: Packet = {
  ...FROM_CLIENT,
  interface: "lo",
  mark: 1337,
  owner: { uid: 1337, gid: 1337 },
};

test("two plain sets of a TPROXY capture would take a client's connection for the proxy's own", () => {
  const rulesets = sidecarRules(TPROXY);
  assert.equal(disturbsAnother(rulesets), true);
  assert.equal(trace([...rulesets, ...rulesets], FROM_CLIENT, "inbound").connmark, 1337);
  assert.equal(trace(rulesets, FROM_CLIENT, "inbound").connmark, 0);
});

test("beside another, a TPROXY capture sends every packet where it went alone, and gives it the same marks", () => {
  for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
    const iptables = sidecarRules(capture).filter(({ family }) => family === 4);
    const native = [sidecarInetRules(capture)];
    for (const both of [
      [...besideAnother(iptables), ...besideAnother(native)],
      [...besideAnother(native), ...besideAnother(iptables)],
    ]) {
      for (const packet of [FROM_CLIENT, { ...FROM_CLIENT, ctstate: "ESTABLISHED" as const }]) {
        assert.deepEqual(destiny(both, packet, "inbound"), destiny(iptables, packet, "inbound"), name);
      }
      assert.deepEqual(destiny(both, FROM_PROXY, "outbound"), destiny(iptables, FROM_PROXY, "outbound"), name);
    }
  }
});

test("besideAnother() leaves a capture without TPROXY as it is", () => {
  const rulesets = sidecarRules(DEFAULT_SIDECAR_CAPTURE);
  assert.equal(disturbsAnother(rulesets), false);
  assert.deepEqual(besideAnother(rulesets), rulesets);
});

test("joinRulesets() has the chains of all, with the rules of all", () => {
  const [left, right] = [sidecarRules(DEFAULT_SIDECAR_CAPTURE), sidecarRules(TPROXY)];
  const [joined, ...others] = joinRulesets([left, right]);
  assert.ok(joined);
  assert.deepEqual(others, []);
  const lines = (rulesets: readonly Ruleset[]) =>
    rulesets.flatMap((ruleset) => renderIptables(ruleset).split("\n")).filter((line) => line.startsWith("-A"));
  assert.deepEqual(lines([joined]).toSorted(), [...lines(left), ...lines(right)].toSorted());
});

function destiny(rulesets: readonly Ruleset[], packet: Packet, direction: "inbound" | "outbound") {
  const { end, mark, connmark, zone } = trace(rulesets, packet, direction);
  return { end, mark, connmark, zone };
}
