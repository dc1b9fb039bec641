import assert from "node:assert/strict";
import { test } from "node:test";
import { createDueQueue } from "./due-queue.ts";

function take(queue: ReturnType<typeof createDueQueue>, nowMs = 0): string | undefined {
  const uid = queue.next(nowMs);
  if (uid !== undefined) queue.remove(uid);
  return uid;
}

test("next() gives what is due, urgent ones first", () => {
  const queue = createDueQueue();
  queue.put("later", { dueMs: 5, isUrgent: true });
  queue.put("plain", { dueMs: 0, isUrgent: false });
  queue.put("urgent", { dueMs: 0, isUrgent: true });
  assert.deepEqual([take(queue), take(queue), take(queue)], ["urgent", "plain", undefined]);
  assert.equal(queue.nextDueMs(), 5);
  assert.equal(take(queue, 5), "later");
});

test("next() comes to the others although one is urgent again and again", () => {
  const queue = createDueQueue();
  for (const uid of ["a", "b", "c"]) queue.put(uid, { dueMs: 0, isUrgent: false });
  const taken: (string | undefined)[] = [];
  for (let turn = 0; turn < 7; turn++) {
    queue.put("noisy", { dueMs: 0, isUrgent: true });
    taken.push(take(queue));
  }
  assert.deepEqual(taken, ["noisy", "a", "noisy", "b", "noisy", "c", "noisy"]);
});
