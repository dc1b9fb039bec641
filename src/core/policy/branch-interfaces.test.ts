import assert from "node:assert/strict";
import { test } from "node:test";
import { formatCidr, hostCidr, parseIpAddress } from "../address.ts";
import { parseMessages } from "../netlink/message.ts";
import {
  decodeSteeringRules,
  encodeAddSteeringRule,
  type HostRoute,
  type SteeringRule,
} from "../netlink/steering-rules.ts";
import { PROBE_RULE_PROTOCOL, planBranchRules, type SteeringView } from "./branch-interfaces.ts";

const ip = (text: string) => parseIpAddress(text) ?? assert.fail(text);
const rule = (parts: Partial<SteeringRule>): SteeringRule => ({
  family: 4,
  table: 101,
  priority: 10,
  protocol: 0,
  ...parts,
});
const route = (text: string, table: number, interfaceIndex: number): HostRoute => ({
  ...{ destination: hostCidr(ip(text)), table, interfaceIndex },
});
const text = ({ to, iif, table, priority }: SteeringRule): string =>
  `${priority}: ${to === undefined ? `iif ${iif}` : `to ${formatCidr(to)}`} lookup ${table}`;

/** As the VPC plugin leaves a node: a pod with a branch interface, one without, and its own rules. */
const NODE: SteeringView = {
  rules: [
    rule({ priority: 0, table: 255 }),
    rule({ iif: "vlan1", table: 101 }),
    rule({ iif: "eni7", table: 101 }),
    rule({ to: hostCidr(ip("10.0.0.9")), table: 254, priority: 512 }),
    rule({ family: 6, iif: "eni7", table: 101 }),
    rule({ priority: 32_766, table: 254 }),
  ],
  routes: [route("10.0.0.5", 101, 7), route("10.0.0.9", 254, 9), route("fd00::5", 101, 7)],
  links: new Map([
    [1, "vlan1"],
    [7, "eni7"],
    [9, "eni9"],
  ]),
};

test("a pod with a branch interface gets a way there and a way back, before the plugin's own rule; others get none", () => {
  const { add, remove } = planBranchRules(NODE, [ip("10.0.0.5"), ip("10.0.0.9"), ip("fd00::5"), ip("10.0.0.77")]);
  assert.deepEqual(add.map(text), [
    "512: to 10.0.0.5/32 lookup 101",
    "9: iif eni7 lookup 255",
    "512: to fd00::5/128 lookup 101",
    "9: iif eni7 lookup 255",
  ]);
  assert.ok(add.every(({ protocol }) => protocol === PROBE_RULE_PROTOCOL));
  assert.deepEqual(remove, []);
});

test("what stands is left, what serves nobody goes: ours by its mark, upstream's by its shape, the plugin's never", () => {
  const wanted = planBranchRules(NODE, [ip("10.0.0.5")]).add;
  const settled = { ...NODE, rules: [...NODE.rules, ...wanted] };
  assert.deepEqual(planBranchRules(settled, [ip("10.0.0.5")]), { add: [], remove: [] });
  assert.deepEqual(planBranchRules(settled, []).remove, wanted);
  const upstream = wanted.map((one) => ({ ...one, protocol: 0 }));
  const taken = { ...NODE, rules: [...NODE.rules, ...upstream] };
  assert.deepEqual(planBranchRules(taken, [ip("10.0.0.5")]), { add: [], remove: [] });
  assert.deepEqual(planBranchRules(taken, []).remove, upstream);
  // The pod is gone with its interface and its routes; by the mark alone its rules are known.
  const gone = { rules: [rule({ priority: 0, table: 255 }), ...wanted], routes: [], links: new Map() };
  assert.deepEqual(planBranchRules(gone, []).remove, wanted);
});

test("a rule of priority 0 keeps its answer's rule at 0, and an interface of another name is no way", () => {
  const first = { ...NODE, rules: [rule({ iif: "eni7", priority: 0 })] };
  assert.deepEqual(planBranchRules(first, [ip("10.0.0.5")]).add.map(text)[1], "0: iif eni7 lookup 255");
  assert.deepEqual(planBranchRules({ ...NODE, links: new Map([[7, "eni8"]]) }, [ip("10.0.0.5")]).add, []);
});

test("rules read as they were written", () => {
  for (const one of [
    ...NODE.rules,
    ...planBranchRules(NODE, [ip("10.0.0.5"), ip("fd00::5")]).add,
    rule({ table: 5000 }),
  ]) {
    assert.deepEqual(decodeSteeringRules(parseMessages(encodeAddSteeringRule(one))), [one]);
  }
});
