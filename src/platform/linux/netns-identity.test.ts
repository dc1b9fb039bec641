import assert from "node:assert/strict";
import { test } from "node:test";
import { createNetns } from "../../../testbed/netns.ts";
import { identifyNetns } from "./netns-identity.ts";

test("identifyNetns() says the same of one namespace each time, and something else of the next one in its place", () => {
  const seen = new Set<string>();
  for (let round = 0; round < 8; round++) {
    using netns = createNetns();
    const identity = identifyNetns(netns.fd);
    assert.deepEqual(identifyNetns(netns.fd), identity);
    assert.ok(identity.cookie !== undefined && identity.cookie > 0n);
    seen.add(`${identity.dev}:${identity.ino}:${identity.cookie}`);
  }
  assert.equal(seen.size, 8);
});

test("identifyNetns() refuses what is no namespace", () => {
  assert.throws(() => identifyNetns(-1));
});
