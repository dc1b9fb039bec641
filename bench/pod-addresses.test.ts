import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import { test } from "node:test";
import { podAddresses } from "./pod-addresses.ts";

test("podAddresses() gives every pod a v4 and a v6 address of its own", () => {
  const all = Array.from({ length: 2000 }, (_, index) => podAddresses(index));
  assert.ok(all.every(([v4, v6]) => isIPv4(v4) && isIPv6(v6)));
  assert.equal(new Set(all.flat()).size, 4000);
  assert.deepEqual(podAddresses(0), ["10.88.1.0", "fd00:88::100"]);
  assert.deepEqual(podAddresses(0xfeff), ["10.88.255.255", "fd00:88::ffff"]);
});

test("podAddresses() refuses what has no address", () => {
  for (const index of [-1, 0.5, 0xff00, Number.NaN]) assert.throws(() => podAddresses(index), RangeError);
});
