import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { createThrowawayNetns } from "../../src/platform/linux/throwaway-netns.ts";
import { backendOf, DIALECTS, sidecarCase } from "./backend-fixture.ts";

for (const dialect of DIALECTS) {
  test(`${dialect}: a hundred pods at once are all captured in the order they came, and no descriptor stays open`, async () => {
    const backend = backendOf(dialect);
    const capture = sidecarCase("dns");
    const pods = Array.from({ length: 100 }, () => createThrowawayNetns());
    const descriptors = readdirSync("/proc/self/fd").length;
    const done: number[] = [];
    const applied = await Promise.all(
      pods.map(async ({ fd }, index) => {
        const result = await backend.apply(fd, capture);
        done.push(index);
        return result;
      }),
    );
    assert.equal(applied.filter(({ changed }) => changed).length, pods.length);
    if (dialect !== "iptables-legacy") assert.deepEqual(done, [...pods.keys()]);
    assert.equal(readdirSync("/proc/self/fd").length, descriptors);
    const [first] = pods;
    assert.ok(first);
    assert.deepEqual(await backend.drift(first.fd, capture), []);
    for (const pod of pods) pod[Symbol.dispose]();
  });
}
