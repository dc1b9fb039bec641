import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type IpAddress, parseIpAddress } from "../address.ts";
import { BRANCH_ENI_PROTOCOL, decideBranchEni, type HostRoute, type NodeRule } from "./branch-eni.ts";

const ip = (text: string): IpAddress => parseIpAddress(text) ?? assert.fail(text);
const POD = ip("10.0.1.5");

function rule(change: Partial<NodeRule>): NodeRule {
  return {
    family: 4,
    priority: 0,
    table: 254,
    destination: undefined,
    iifName: undefined,
    protocol: 0,
    isOther: false,
    ...change,
  };
}

/** As the VPC CNI has them for a pod with a branch interface. */
const THEIRS = [
  rule({ priority: 10, table: 101, iifName: "vlan.eth.1" }),
  rule({ priority: 10, table: 101, iifName: "vlanabc" }),
  rule({ priority: 20, table: 255 }),
  rule({ priority: 512, table: 254, destination: ip("10.0.1.6") }),
];
const ROUTES: readonly HostRoute[] = [
  { destination: POD, table: 101, interfaceName: "vlanabc" },
  { destination: ip("10.0.1.6"), table: 254, interfaceName: "eni1" },
];
const BACK = rule({ priority: 9, table: 255, iifName: "vlanabc", protocol: BRANCH_ENI_PROTOCOL });
const THERE = rule({ priority: 512, table: 101, destination: POD, protocol: BRANCH_ENI_PROTOCOL });

describe("decideBranchEni()", () => {
  it("leads the node's connections to the pod, and the answers, past the VPC", () => {
    assert.deepEqual(decideBranchEni([POD], THEIRS, ROUTES), { remove: [], add: [[BACK, THERE]] });
    assert.deepEqual(decideBranchEni([POD], [...THEIRS, BACK, THERE], ROUTES), { remove: [], add: [] });
  });

  it("adds both again where one is missing", () => {
    assert.deepEqual(decideBranchEni([POD], [...THEIRS, THERE], ROUTES), { remove: [], add: [[BACK, THERE]] });
  });

  it("leaves pods alone that are reached the usual way", () => {
    const usual = [ip("10.0.1.6"), ip("10.0.9.9"), ip("fd00::5")];
    assert.deepEqual(decideBranchEni(usual, THEIRS, ROUTES), { remove: [], add: [] });
    for (const table of [0, 253, 254, 255]) {
      const rules = [rule({ priority: 10, table, iifName: "vlanabc" })];
      const routes = [{ destination: POD, table, interfaceName: "vlanabc" }];
      assert.deepEqual(decideBranchEni([POD], rules, routes).add, [], String(table));
    }
    // A table that the pod's own interface does not lead to.
    const elsewhere = [{ destination: POD, table: 101, interfaceName: "eth9" }];
    assert.deepEqual(decideBranchEni([POD], THEIRS, elsewhere).add, []);
    assert.deepEqual(
      decideBranchEni([POD], [rule({ family: 6, priority: 10, table: 101, iifName: "vlanabc" })], ROUTES).add,
      [],
    );
  });

  it("takes out what is ours and no longer needed, and nothing of others", () => {
    const gone = rule({ priority: 512, table: 102, destination: ip("10.0.1.7"), protocol: BRANCH_ENI_PROTOCOL });
    const foreign = [
      rule({ priority: 512, table: 102, destination: ip("10.0.1.8") }),
      rule({ priority: 9, table: 255, iifName: "vlanold" }),
      { ...gone, isOther: true },
    ];
    const { remove, add } = decideBranchEni([POD], [...THEIRS, ...foreign, gone, BACK, THERE], ROUTES);
    assert.deepEqual([remove, add], [[gone], []]);
    assert.deepEqual(decideBranchEni([], [...THEIRS, ...foreign, BACK, THERE], []).remove, [BACK, THERE]);
  });

  it("takes the place of the same rules by upstream's agent", () => {
    const upstreams = [BACK, THERE].map((one) => ({ ...one, protocol: 0 }));
    const { remove, add } = decideBranchEni([POD], [...THEIRS, ...upstreams], ROUTES);
    assert.deepEqual([remove, add], [upstreams, [[BACK, THERE]]]);
  });

  it("never asks for a priority below the first", () => {
    const [pair] = decideBranchEni([POD], [rule({ priority: 0, table: 101, iifName: "vlanabc" })], ROUTES).add;
    assert.equal(pair?.[0].priority, 0);
  });
});
