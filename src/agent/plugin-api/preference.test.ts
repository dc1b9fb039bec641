import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createPreference } from "./preference.ts";

const NEVER_MS = 3_600_000;

test("what nobody waits for goes on at once while nothing is under way", async () => {
  await createPreference(NEVER_MS).isOver();
});

test("it waits until all that goes before is done, whether it succeeds or fails", async () => {
  const preference = createPreference(NEVER_MS);
  const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<never>()];
  const succeeding = preference.during(() => first.promise);
  const failing = preference.during(() => second.promise);
  const events: string[] = [];
  const waiting = [1, 2].map((who) => preference.isOver().then(() => events.push(`over for ${who}`)));
  first.resolve("done");
  assert.equal(await succeeding, "done");
  await turn();
  assert.deepEqual(events, []);
  second.reject(new Error("refused"));
  await assert.rejects(failing, /refused/);
  await Promise.all(waiting);
  assert.deepEqual(events, ["over for 1", "over for 2"]);
  await preference.isOver();
});

test("work that throws at once is over too", async () => {
  const preference = createPreference(NEVER_MS);
  const work = () => {
    throw new Error("at once");
  };
  await assert.rejects(preference.during(work), /at once/);
  await preference.isOver();
});

test("work without end holds nobody up for ever", async () => {
  const preference = createPreference(1);
  void preference.during(() => new Promise(() => undefined));
  await preference.isOver();
  await preference.isOver();
});
