// Whether this kernel can do it, asked in a namespace nobody uses, and what a kernel without ipset gets instead.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gatherHostProbeFacts } from "../../src/agent/netfilter/host-probe-facts.ts";
import { decideHostDialect } from "../../src/core/policy/host-probe-backend.ts";
import { DEFAULT_PROBE_SOURCE } from "../../src/core/rules/ambient-numbers.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createThrowawayNetns } from "../../src/platform/linux/throwaway-netns.ts";
import { createNetns } from "../../testbed/netns.ts";
import { DIALECTS } from "./backend-fixture.ts";
import { HOST_DEPS, hostProbesOf, ips, listedIn, UID } from "./host-probes-fixture.ts";

const HOST = { families: { v4: true, v6: true }, probeSource: DEFAULT_PROBE_SOURCE };
const DEPS = { ...HOST_DEPS, createThrowawayNetns };
const IPSET_SUBSYSTEM = 6;
const EINVAL = 22;
const NLMSG_ERROR = 2;

/** A kernel without ipset: nfnetlink refuses every message of a subsystem that is not there. */
const withoutIpset: typeof openNetlink = (protocol, netnsFd) => {
  const socket = openNetlink(protocol, netnsFd);
  let refused: Uint8Array | undefined;
  return {
    fd: socket.fd,
    send(bytes) {
      if (bytes[5] !== IPSET_SUBSYSTEM) return socket.send(bytes);
      const answer = new Uint8Array(36);
      const view = new DataView(answer.buffer);
      view.setUint32(0, answer.length, true);
      view.setUint16(4, NLMSG_ERROR, true);
      view.setInt32(16, -EINVAL, true);
      answer.set(bytes.subarray(0, 16), 20);
      refused = answer;
    },
    receive() {
      const answer = refused ?? socket.receive();
      refused = undefined;
      return answer;
    },
    close: socket.close,
    [Symbol.dispose]: socket.close,
  };
};

for (const dialect of DIALECTS) {
  test(`${dialect}: this kernel can let probes in, and only what matters is tried`, async () => {
    const facts = await gatherHostProbeFacts(DEPS, dialect, true, HOST);
    assert.equal(facts[dialect], undefined);
    for (const other of DIALECTS) if (other !== dialect) assert.equal(facts[other], "it was not tried");
    assert.equal(decideHostDialect(dialect, facts).dialect, dialect);
  });
}

test("without ipset the native table takes its place, the sentence says so, and it works", async () => {
  for (const dialect of ["iptables-nft", "iptables-legacy"] as const) {
    const facts = await gatherHostProbeFacts({ ...DEPS, openNetlink: withoutIpset }, dialect, true, HOST);
    const decision = decideHostDialect(dialect, facts);
    assert.deepEqual([decision.dialect, decision.reason, decision.works], ["nftables", "pods-dialect-fails", true]);
    assert.match(decision.message, /this kernel has no ipset \(ip_set\)/);
    const none = decideHostDialect(
      dialect,
      await gatherHostProbeFacts({ ...DEPS, openNetlink: withoutIpset }, dialect, false, HOST),
    );
    assert.equal(none.works, false);
    assert.match(none.message, /nf_tables does not answer/);
  }
  using netns = createNetns();
  const probes = hostProbesOf(netns, "nftables", {}, { openNetlink: withoutIpset });
  assert.equal((await probes.ensure()).changed, true);
  await probes.put(UID.a, ips("10.0.0.1"));
  assert.deepEqual(listedIn(netns, "nftables"), [`10.0.0.1 ${UID.a}`]);
  assert.deepEqual([await probes.drift(), (await probes.ensure()).changed], [[], false]);
  assert.equal(await probes.removeAll(), true);
});

test("a namespace that cannot be made is a reason in words", async () => {
  const createNone = (): never => {
    throw new Error("Cannot make a network namespace: ENOSPC");
  };
  const facts = await gatherHostProbeFacts({ ...DEPS, createThrowawayNetns: createNone }, "nftables", true, HOST);
  assert.match(decideHostDialect("nftables", facts).message, /ENOSPC/);
});
