import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIpAddress } from "../address.ts";
import { decideFamilies, type FamilyOptions } from "./capture-families.ts";

const iptables: FamilyOptions = { dialect: "iptables", dualStack: false, strict: false };
const decide = (addresses: string[], options: Partial<FamilyOptions> = {}) =>
  decideFamilies(
    addresses.flatMap((text) => parseIpAddress(text) ?? []),
    { ...iptables, ...options },
  );

test("decideFamilies() captures the family of the first address and reports the other as bypassed", () => {
  assert.deepEqual(decide(["127.0.0.1", "10.0.0.5", "fd00::5"]), {
    kind: "families",
    v4: true,
    v6: false,
    bypassed: ["ipv6"],
  });
  assert.deepEqual(decide(["10.0.0.5"]), { kind: "families", v4: true, v6: false, bypassed: [] });
  assert.deepEqual(decide(["::1", "fd00::5"]), { kind: "families", v4: true, v6: true, bypassed: [] });
});

test("decideFamilies() captures both where the proxy is dual-stack, where strict is set, and in native nftables", () => {
  for (const options of [{ dualStack: true }, { strict: true }, { dialect: "nftables" as const }]) {
    assert.deepEqual(decide(["10.0.0.5", "fd00::5"], options), { kind: "families", v4: true, v6: true, bypassed: [] });
  }
  assert.deepEqual(decide(["10.0.0.5"], { strict: true }), { kind: "families", v4: true, v6: false, bypassed: [] });
});

test("decideFamilies() does not count loopback and link-local addresses", () => {
  assert.deepEqual(decide(["127.0.0.1", "::1", "fe80::1", "169.254.3.4"]), { kind: "no-address" });
  assert.deepEqual(decide([]), { kind: "no-address" });
  // What a former capture in native nftables has left on lo.
  assert.deepEqual(decide(["10.0.0.5", "::6"], { strict: true }), {
    kind: "families",
    v4: true,
    v6: false,
    bypassed: [],
  });
  assert.deepEqual(decide(["10.0.0.5", "fe80::1"]), { kind: "families", v4: true, v6: false, bypassed: [] });
});
