import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FAMILIES, formatIp, type IpAddress, parseIpAddress } from "../../core/address.ts";
import { createProbeOwners, type ProbeOwners } from "./probe-owners.ts";

const ips = (...texts: string[]): IpAddress[] => texts.map((text) => parseIpAddress(text) ?? assert.fail(text));
const all = (pods: Record<string, string[]>) =>
  new Map(Object.entries(pods).map(([uid, texts]) => [uid, ips(...texts)]));

function held(owners: ProbeOwners): string[] {
  return FAMILIES.flatMap((family) => owners.entries(family))
    .map(({ ip, podUid }) => `${formatIp(ip)} ${podUid}`)
    .toSorted();
}

test("an address is its latest owner's, and forgetting the one before takes nothing away", () => {
  const owners = createProbeOwners();
  owners.tell("a", ips("10.0.0.1", "fd00::1"));
  owners.tell("b", ips("10.0.0.1"));
  assert.deepEqual(held(owners), ["10.0.0.1 b", "fd00::1 a"]);
  owners.forget("a");
  assert.deepEqual(held(owners), ["10.0.0.1 b"]);
  owners.tell("b", ips("10.0.0.2"));
  assert.deepEqual(held(owners), ["10.0.0.2 b"]);
});

test("a pod told of without addresses keeps what it had, in one and in all", () => {
  const owners = createProbeOwners();
  owners.tell("a", ips("10.0.0.1"));
  owners.tell("a", []);
  owners.tellAll(all({ a: [], b: ["10.0.0.2"] }), true);
  assert.deepEqual(held(owners), ["10.0.0.1 a", "10.0.0.2 b"]);
  assert.ok(owners.has("a"));
});

test("only a complete list takes out pods that are not in it", () => {
  const owners = createProbeOwners();
  owners.tell("a", ips("10.0.0.1"));
  owners.tellAll(all({ b: ["10.0.0.2"] }), false);
  assert.deepEqual([held(owners), owners.isWhole()], [["10.0.0.1 a", "10.0.0.2 b"], false]);
  owners.tellAll(all({ b: ["10.0.0.3"] }), true);
  assert.deepEqual([held(owners), owners.isWhole(), owners.has("a")], [["10.0.0.3 b"], true, false]);
  owners.tellAll(all({ c: ["10.0.0.4"] }), false);
  assert.ok(owners.isWhole());
  owners.clear();
  assert.deepEqual([held(owners), owners.isWhole()], [[], false]);
});

test("what was found in the kernel holds until something else is told, and never against what was", () => {
  const owners = createProbeOwners();
  const found = (text: string, podUid: string) => ips(text).map((ip) => ({ ip, podUid }));
  owners.tell("a", ips("10.0.0.1"));
  owners.learn([...found("10.0.0.1", "old"), ...found("10.0.0.2", "old")]);
  assert.deepEqual(held(owners), ["10.0.0.1 a", "10.0.0.2 old"]);
  owners.forget("old");
  assert.deepEqual(held(owners), ["10.0.0.1 a"]);
  owners.tellAll(all({ a: ["10.0.0.1"] }), true);
  owners.learn(found("10.0.0.2", "old"));
  assert.deepEqual(held(owners), ["10.0.0.1 a"]);
});

test("what is found of a pod that ended before anybody looked is left over", () => {
  const owners = createProbeOwners();
  owners.forget("old");
  owners.forget("again");
  owners.tell("again", []);
  owners.learn(ips("10.0.0.1").map((ip) => ({ ip, podUid: "old" })));
  owners.learn(ips("10.0.0.2").map((ip) => ({ ip, podUid: "again" })));
  assert.deepEqual(held(owners), ["10.0.0.2 again"]);
});

test("of two pods with one address in a list, the one that has it keeps it, whatever the order", () => {
  for (const order of [
    ["a", "b"],
    ["b", "a"],
  ]) {
    const owners = createProbeOwners();
    owners.tell("a", ips("10.0.0.1"));
    owners.tellAll(new Map(order.map((uid) => [uid, ips("::ffff:10.0.0.1")])), true);
    assert.deepEqual(held(owners), ["10.0.0.1 a"]);
  }
  const owners = createProbeOwners();
  owners.tellAll(all({ old: ["10.0.0.1"], new: ["10.0.0.1"] }), true);
  assert.deepEqual(held(owners), ["10.0.0.1 new"]);
});

test("after a complete list every address in it has an owner who claims it, and nobody else has any", () => {
  const uid = fc.constantFrom<string>("a", "b", "c", "d");
  const address = fc.constantFrom<string>("10.0.0.1", "10.0.0.2", "fd00::1");
  const list = fc.dictionary(uid, fc.uniqueArray(address, { minLength: 1 }), { noNullPrototype: true });
  fc.assert(
    fc.property(fc.array(fc.tuple(uid, fc.uniqueArray(address))), list, (before, pods) => {
      const owners = createProbeOwners();
      for (const [podUid, texts] of before) owners.tell(podUid, ips(...texts));
      owners.tellAll(all(pods), true);
      const claimed = new Set(Object.values(pods).flat());
      assert.deepEqual(new Set(held(owners).map((line) => line.split(" ")[0])), claimed);
      for (const line of held(owners)) {
        const [text = "", podUid = ""] = line.split(" ");
        assert.ok(pods[podUid]?.includes(text), line);
      }
    }),
  );
});
