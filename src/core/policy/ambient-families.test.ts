import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIpAddress } from "../address.ts";
import { decideAmbientFamilies } from "./ambient-families.ts";

const ADDRESSES = {
  v4: ["127.0.0.1", "10.0.0.5", "::1", "fe80::1"],
  v6: ["127.0.0.1", "169.254.3.4", "fd00::5", "fe80::1"],
  dual: ["10.0.0.5", "fd00::5"],
  "dual, IPv6 first": ["fd00::5", "10.0.0.5"],
  mapped: ["::ffff:10.0.0.5"],
} as const;

/** AMBIENT_IPV6, STRICT_FAMILIES and addresses: whether IPv6 is captured and whether it passes by. */
const TABLE: readonly (readonly [
  ipv6: boolean,
  strict: boolean,
  addresses: keyof typeof ADDRESSES,
  v6: boolean,
  bypassed: boolean,
])[] = [
  [true, false, "v4", false, false],
  [true, false, "v6", true, false],
  [true, false, "dual", true, false],
  [true, false, "dual, IPv6 first", true, false],
  [true, false, "mapped", false, false],
  [true, true, "v4", false, false],
  [true, true, "v6", true, false],
  [true, true, "dual", true, false],
  [true, true, "dual, IPv6 first", true, false],
  [true, true, "mapped", false, false],
  [false, false, "v4", false, false],
  [false, false, "v6", false, true],
  [false, false, "dual", false, true],
  [false, false, "dual, IPv6 first", false, true],
  [false, false, "mapped", false, false],
  [false, true, "v4", false, false],
  [false, true, "v6", true, false],
  [false, true, "dual", true, false],
  [false, true, "dual, IPv6 first", true, false],
  [false, true, "mapped", false, false],
];

const parse = (texts: readonly string[]) => texts.flatMap((text) => parseIpAddress(text) ?? []);

for (const [ipv6, strict, addresses, v6, bypassed] of TABLE) {
  const what = v6 ? "captures IPv6" : bypassed ? "reports IPv6 as passing by" : "captures IPv4 alone";
  test(`decideAmbientFamilies() ${what} with AMBIENT_IPV6=${ipv6}, STRICT_FAMILIES=${strict} and ${addresses} addresses`, () => {
    assert.deepEqual(decideAmbientFamilies(parse(ADDRESSES[addresses]), { ipv6, strict }), {
      kind: "families",
      v4: true,
      v6,
      bypassed: bypassed ? ["ipv6"] : [],
    });
  });
}

test("decideAmbientFamilies() tells a pod that has no address yet", () => {
  for (const texts of [[], ["127.0.0.1", "::1"], ["fe80::1", "169.254.1.1"]]) {
    assert.deepEqual(decideAmbientFamilies(parse(texts), { ipv6: true, strict: true }), { kind: "no-address" });
  }
});
