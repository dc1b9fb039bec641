import assert from "node:assert/strict";
import { test } from "node:test";
import { createNetnsQueue } from "./netns-queue.ts";

test("what is asked for one namespace happens in order, also behind a failure; another namespace does not wait", async () => {
  // Descriptors 3 and 4 are the same namespace.
  const inTurn = createNetnsQueue((fd) => ({ dev: 1n, ino: fd === 5 ? 2n : 1n }));
  const gate = Promise.withResolvers<void>();
  const log: string[] = [];
  const first = inTurn(3, async () => {
    await gate.promise;
    log.push("first");
    throw new Error("failed");
  });
  const second = inTurn(4, async () => void log.push("second"));
  await inTurn(5, async () => void log.push("other"));
  assert.deepEqual(log, ["other"]);
  gate.resolve();
  await assert.rejects(first, /failed/);
  await second;
  assert.deepEqual(log, ["other", "first", "second"]);
});
