// Addresses that go in and out of the host's probe sets while pods come and go: what is asked of the kernel for it, whose
// generation it makes, and what others have put there meanwhile.

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeGetElements, encodeGetSets } from "../../src/core/netlink/nft-set.ts";
import { PROBE_SETS } from "../../src/core/rules/ambient-numbers.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { DIALECTS, generationOf } from "./backend-fixture.ts";
import { hostProbesOf, ips, listedIn, PODS, UID } from "./host-probes-fixture.ts";

const TABLE = "istio-ambient-nat";

function putByHand(netns: TestNetns, isNative: boolean, address: string, uid: string): void {
  const set = PROBE_SETS[4];
  if (isNative) netns.mustExec(["nft", "add", "element", "inet", TABLE, set, `{ ${address} comment "${uid}" }`]);
  else netns.mustExec(["ipset", "add", set, address, "comment", uid]);
}

for (const dialect of DIALECTS) {
  test(`${dialect}: what others put under a pod's UID after our look goes with the first look after the pod's end`, async () => {
    using netns = createNetns();
    const probes = hostProbesOf(netns, dialect);
    await probes.ensure();
    await probes.put(UID.a, ips("10.0.0.1", "fd00::1"));
    await probes.put(UID.b, ips("10.0.0.2"));
    putByHand(netns, dialect === "nftables", "10.0.0.9", UID.a);
    await probes.ensure();
    assert.equal(listedIn(netns, dialect).length, 4, "while the pod lives, nobody knows better");
    assert.equal(await probes.remove(UID.a), true);
    assert.deepEqual(listedIn(netns, dialect), [`10.0.0.2 ${UID.b}`, `10.0.0.9 ${UID.a}`]);
    await probes.ensure();
    assert.deepEqual(listedIn(netns, dialect), [`10.0.0.2 ${UID.b}`]);
    assert.equal(await probes.remove(UID.a), false);
  });
}

test("nftables: a pod that comes or goes costs no look at the whole set", async () => {
  using netns = createNetns();
  const dumps: number[] = [];
  const [setsType, elementsType] = [
    encodeGetSets("inet", TABLE),
    encodeGetElements({ family: "inet", table: TABLE, set: "s" }),
  ].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(4, true));
  const probes = hostProbesOf(
    netns,
    "nftables",
    {},
    {
      openNetlink(protocol, netnsFd) {
        const socket = openNetlink(protocol, netnsFd);
        return {
          ...socket,
          send(bytes) {
            const view = new DataView(bytes.buffer, bytes.byteOffset);
            const [type, flags] = [view.getUint16(4, true), view.getUint16(6, true)];
            if ((type === setsType || type === elementsType) && (flags & 0x300) === 0x300) dumps.push(type);
            socket.send(bytes);
          },
        };
      },
    },
  );
  await probes.ensure();
  await probes.converge(PODS, { isComplete: true });
  dumps.length = 0;
  await probes.put("one-more", ips("10.0.0.3", "fd00::3"));
  await probes.put("one-more", ips("10.0.0.3", "fd00::3"));
  await probes.put("one-more", ips("10.0.0.4"));
  // An address that is another's now keeps no old comment.
  await probes.put("its-heir", ips("10.0.0.4"));
  assert.deepEqual(
    listedIn(netns, "nftables").filter((line) => !line.includes("-4000-")),
    ["10.0.0.4 its-heir"],
  );
  await probes.remove("one-more");
  await probes.remove("its-heir");
  assert.equal(listedIn(netns, "nftables").length, 3);
  assert.deepEqual(dumps, []);
});

test("nftables: generations of addresses that were put and removed are our own, those of others and of rules are not", async () => {
  using netns = createNetns();
  const probes = hostProbesOf(netns, "nftables");
  await probes.ensure();
  assert.equal(probes.isOwnGeneration(generationOf(netns)), false);
  await probes.put(UID.a, ips("10.0.0.1", "fd00::1"));
  const put = generationOf(netns);
  assert.ok(probes.isOwnGeneration(put));
  assert.ok(probes.isOwnGeneration(put - 1), "one for each family");
  await probes.remove(UID.a);
  assert.ok(probes.isOwnGeneration(generationOf(netns)));
  netns.mustExec(["nft", "add", "table", "inet", "theirs"]);
  assert.equal(probes.isOwnGeneration(generationOf(netns)), false);
});
