import assert from "node:assert/strict";
import { test } from "node:test";
import { runningSidecarPod } from "../../../testbed/sidecar-samples.ts";
import { formatIp, type IpAddress, parseIpAddress } from "../../core/address.ts";
import { type EnrolmentSources, gatherFacts } from "./enrolment-facts.ts";

const ips = (...texts: string[]): IpAddress[] => texts.flatMap((text) => parseIpAddress(text) ?? []);

/** What the node's probe set should have for a pod, and whether that is so. */
function probesOf(known: { readonly told: string[]; readonly listed: string[]; readonly inside: string[] }) {
  const sources: EnrolmentSources = {
    decide: () => ({ kind: "out", reason: "not-selected" }),
    netns: { get: () => undefined },
    rules: { state: () => "unknown", addresses: () => ips(...known.inside) },
    ztunnel: { isConnected: () => true, workload: () => undefined },
    probes: { listed: () => ips(...known.listed) },
  };
  const pod = { ...runningSidecarPod("web"), podIps: known.told };
  const { facts, addresses } = gatherFacts(sources, pod, false, { wasIn: true, written: undefined });
  return [facts.probes, ...addresses.map(formatIp)];
}

test("an address that a pod gives itself before the kubelet reports its own comes into no probe set", () => {
  const inside = ["10.0.0.5", "192.0.2.1"];
  assert.deepEqual(probesOf({ told: [], listed: ["10.0.0.5"], inside }), ["listed", "10.0.0.5"]);
  assert.deepEqual(probesOf({ told: ["10.0.0.5"], listed: ["10.0.0.5"], inside }), ["listed", "10.0.0.5"]);
});

test("the API's word goes before what was listed, and what is seen inside counts where nobody knows more", () => {
  assert.deepEqual(probesOf({ told: ["10.0.0.6"], listed: ["10.0.0.5"], inside: [] }), ["partly", "10.0.0.6"]);
  assert.deepEqual(probesOf({ told: [], listed: [], inside: ["10.0.0.5"] }), ["absent", "10.0.0.5"]);
});
