// Pods in which somebody changes the rules again and again: they are repaired, and keep nobody else waiting.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPTURE, verifiedNode } from "../../../testbed/fake-node.ts";
import type { Verifier } from "./verifier.ts";

const stateOf = (verifier: Verifier, name = "web") => verifier.record(`uid-of-${name}`)?.state;

test("somebody who undoes every repair is given up on for a while, with an Event and a metric", async () => {
  const { node, verifier, pod } = await verifiedNode();
  node.meanwhile = () => node.write(pod, undefined);
  verifier.request(pod.uid);
  await node.settle();
  assert.equal(stateOf(verifier), "failed");
  assert.match(verifier.record(pod.uid)?.message ?? "", /altered again after each of 4 repairs/);
  assert.ok(node.events.some((line) => line.startsWith("web RedirectionRepairFailed")));
  await node.end();
});

test("the pod whose rules somebody changed comes before those that only the timer asks for", async () => {
  const names = Array.from({ length: 50 }, (_, index) => `web-${index}`);
  const { node, pods } = await verifiedNode({}, ...names);
  const [last] = pods.toReversed();
  assert.ok(last !== undefined);
  for (const pod of pods.slice(0, -1)) {
    node.netnsOf(pod).generation++;
    node.show("update", pod);
  }
  node.write(last, undefined);
  await node.settle();
  await node.settle();
  const place = node.asked.indexOf("drift web-49");
  assert.ok(place >= 0 && place < 5, `it was looked at in place ${place}`);
  assert.equal(node.asked.filter((line) => line.startsWith("drift")).length, 51);
  await node.end();
});

test("a pod in which somebody writes without end has a fifth of the thread: after each look it rests four times as long", async () => {
  const { node, pod } = await verifiedNode();
  node.meanwhile = () => {
    node.clock.jump(100);
    // Heard of while the look lasts.
    node.show("update", pod);
  };
  node.write(pod, CAPTURE);
  await node.settle();
  assert.deepEqual(node.asked, ["drift web"]);
  node.write(pod, CAPTURE);
  await node.advance(390);
  assert.equal(node.asked.length, 1);
  await node.advance(10);
  assert.equal(node.asked.length, 2);
  await node.end();
});

test("between the rounds of a look others have their turn", async () => {
  const { node, pod } = await verifiedNode();
  const turns: number[] = [];
  let turn = 0;
  node.meanwhile = () => {
    turns.push(turn);
    setImmediate(() => turn++);
    if (turns.length < 4) node.write(pod, undefined);
  };
  node.write(pod, undefined);
  await node.settle();
  const [, second = 0, third = 0, fourth = 0] = turns;
  assert.ok(second < third && third < fourth, String(turns));
  await node.end();
});
