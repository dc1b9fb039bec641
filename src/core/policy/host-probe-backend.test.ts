import assert from "node:assert/strict";
import { test } from "node:test";
import { decideHostDialect } from "./host-probe-backend.ts";

const WORKS = { "iptables-nft": undefined, nftables: undefined, "iptables-legacy": undefined };
const NO_IPSET = "this kernel has no ipset";

test("the host is written as the pods are, where that works", () => {
  for (const dialect of ["iptables-nft", "nftables", "iptables-legacy"] as const) {
    const { works, ...decision } = decideHostDialect(dialect, WORKS);
    assert.deepEqual([decision.dialect, decision.reason, works], [dialect, "as-pods", true]);
  }
});

test("a kernel without ipset gets the native table on the host, and the sentence says why and what differs", () => {
  const decision = decideHostDialect("iptables-nft", { ...WORKS, "iptables-nft": NO_IPSET });
  assert.deepEqual([decision.dialect, decision.reason, decision.works], ["nftables", "pods-dialect-fails", true]);
  assert.match(
    decision.message,
    /as nftables, by the kubelet's user, because iptables-nft cannot: this kernel has no ipset/,
  );
});

test("where nothing works that is told with every reason", () => {
  const facts = { "iptables-nft": NO_IPSET, nftables: "no nft_nat", "iptables-legacy": "it was not tried" };
  assert.deepEqual(decideHostDialect("iptables-nft", facts), {
    dialect: "iptables-nft",
    reason: "nothing-works",
    works: false,
    message: `Probes of the node cannot be let into ambient pods as iptables-nft: ${NO_IPSET}; as nftables: no nft_nat`,
  });
  const native = decideHostDialect("nftables", { ...WORKS, nftables: "no nft_nat" });
  assert.match(native.message, /as nftables: no nft_nat$/);
});
