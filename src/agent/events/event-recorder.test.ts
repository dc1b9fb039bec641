import assert from "node:assert/strict";
import { test } from "node:test";
import { TurnedClock } from "../../../testbed/turned-clock.ts";
import { KubeApiError, type KubeApiErrorCode, type KubeApiErrorFields } from "../../core/kube/kube-api-error.ts";
import type { ResourceRef } from "../../core/kube/resource-path.ts";
import type { Logger } from "../../core/log.ts";
import type { PodEventInput } from "./event-object.ts";
import { createEventRecorder, type EventRecorderOptions } from "./event-recorder.ts";

const pod = { uid: "u1", namespace: "shop", name: "web-0" };
const repaired: PodEventInput = { pod, type: "Warning", reason: "RedirectionRepaired", message: "rules were gone" };

/** An API that fails when told to, a clock turned by hand, a recorder that runs. */
function createScene(options: Partial<EventRecorderOptions> = {}) {
  const clock = new TurnedClock();
  const requests: { verb: "create" | "patch"; ref: ResourceRef; body: Record<string, unknown> }[] = [];
  const failures: Error[] = [];
  const dropped: string[] = [];
  const logged: string[] = [];
  const ending = new AbortController();
  const ask = async (verb: "create" | "patch", ref: ResourceRef, body: object): Promise<unknown> => {
    requests.push({ verb, ref, body: { ...body } });
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    return {};
  };
  const log: Logger = {
    debug() {},
    info() {},
    warn: (message, labels) => void logged.push(`${message} ${JSON.stringify(labels)}`),
    error() {},
    scope: () => log,
  };
  const recorder = createEventRecorder(
    {
      api: { create: (ref, body) => ask("create", ref, body), patch: (ref, body) => ask("patch", ref, body) },
      clock,
      log,
      wallMs: () => Date.UTC(2026, 0, 1) + clock.nowMs(),
      random: () => 0.5,
      dropped: (why, count) => void dropped.push(`${why} ${count}`),
    },
    { nodeName: "node-1", ...options },
  );
  const running = recorder.run(ending.signal);
  return {
    ...{ recorder, requests, failures, dropped, logged, running },
    settle: () => clock.settle(),
    advance: (ms: number) => clock.advance(ms),
    end: async (): Promise<void> => {
      ending.abort(new Error("the test is over"));
      await running;
    },
  };
}

const forbidden = (said: string) =>
  new KubeApiError("KUBE_API_STATUS", `Cannot create events: the API answered 403, ${said}`, {
    status: 403,
    reason: "Forbidden",
  });

const apiError = (status: number, fields: KubeApiErrorFields = {}, code: KubeApiErrorCode = "KUBE_API_STATUS") =>
  new KubeApiError(code, `Cannot create events: the API answered ${status}`, { status, ...fields });

test("record() posts a core/v1 Event about the pod, with upstream's component where that is asked for", async () => {
  const scene = createScene();
  scene.recorder.record({ ...repaired, component: "cni-repair" });
  await scene.settle();
  assert.equal(scene.requests.length, 1);
  assert.deepEqual(scene.requests[0], {
    verb: "create",
    ref: { plural: "events", namespace: "shop" },
    body: {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: "web-0.19b76daa80080000000", namespace: "shop" },
      involvedObject: { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "web-0", uid: "u1" },
      type: "Warning",
      reason: "RedirectionRepaired",
      message: "rules were gone",
      source: { component: "cni-repair", host: "node-1" },
      reportingComponent: "cni-repair",
      reportingInstance: "node-1",
      firstTimestamp: "2026-01-01T00:00:00Z",
      lastTimestamp: "2026-01-01T00:00:00Z",
      count: 1,
    },
  });
  await scene.end();
});

test("repetitions are counted in the one Event, at most every ten seconds, with the latest message", async () => {
  const scene = createScene();
  for (let count = 0; count < 50; count++) scene.recorder.record({ ...repaired, message: `repair ${count}` });
  await scene.settle();
  assert.equal(scene.requests[0]?.body["count"], 50);
  for (let count = 50; count < 100; count++) scene.recorder.record({ ...repaired, message: `repair ${count}` });
  await scene.advance(9_999);
  assert.equal(scene.requests.length, 1);
  await scene.advance(1);
  assert.deepEqual(scene.requests[1], {
    verb: "patch",
    ref: { plural: "events", namespace: "shop", name: "web-0.19b76daa80080000000" },
    body: { count: 100, lastTimestamp: "2026-01-01T00:00:00Z", message: "repair 99" },
  });
  await scene.end();
});

test("another reason, another pod of that name and a later window get Events of their own", async () => {
  const scene = createScene();
  scene.recorder.record(repaired);
  scene.recorder.record({ ...repaired, reason: "RedirectionMissing" });
  scene.recorder.record({ ...repaired, pod: { ...pod, uid: "u2" } });
  await scene.settle();
  await scene.advance(600_001);
  scene.recorder.record(repaired);
  await scene.settle();
  assert.deepEqual(
    scene.requests.map(({ verb, body }) => `${verb} ${body["count"]}`),
    ["create 1", "create 1", "create 1", "create 1"],
  );
  await scene.end();
});

test("an Event that the cluster has forgotten is made anew", async () => {
  const scene = createScene();
  scene.recorder.record(repaired);
  await scene.settle();
  scene.recorder.record(repaired);
  scene.failures.push(apiError(404, { reason: "NotFound" }));
  await scene.advance(10_000);
  assert.deepEqual(
    scene.requests.map(({ verb, body }) => `${verb} ${body["count"]}`),
    ["create 1", "patch 2", "create 2"],
  );
  await scene.end();
});

test("a missing right is said once, and nothing is asked again", async () => {
  const scene = createScene();
  scene.failures.push(
    forbidden(
      'events is forbidden: User "system:serviceaccount:istio-system:istio-cni" cannot create resource "events" in API group "" in the namespace "shop"',
    ),
  );
  scene.recorder.record(repaired);
  scene.recorder.record({ ...repaired, reason: "RedirectionMissing" });
  await scene.settle();
  scene.recorder.record(repaired);
  await scene.running;
  assert.equal(scene.requests.length, 1);
  assert.equal(scene.logged.length, 1);
  assert.match(scene.logged[0] ?? "", /create and patch of events/);
  assert.deepEqual(scene.dropped, ["forbidden 1", "forbidden 1", "forbidden 1"]);
});

test("an API that is away is tried again with growing intervals, and what is too old is dropped", async () => {
  const scene = createScene({ maxAgeMs: 10_000 });
  for (let count = 0; count < 20; count++) scene.failures.push(apiError(0, {}, "KUBE_API_TRANSPORT"));
  scene.recorder.record(repaired);
  await scene.settle();
  await scene.advance(60_000);
  assert.equal(scene.requests.length, 5);
  assert.deepEqual(scene.dropped, ["expired 1"]);
  await scene.end();
});

test("a server that asks for patience gets it", async () => {
  const scene = createScene();
  scene.failures.push(apiError(429, { retryAfterMs: 20_000 }));
  scene.recorder.record(repaired);
  await scene.settle();
  await scene.advance(19_999);
  assert.equal(scene.requests.length, 1);
  await scene.advance(1);
  assert.equal(scene.requests.length, 2);
  await scene.end();
});

for (const [what, failure] of [
  ["an Event that the API refuses", apiError(422, { reason: "Invalid" })],
  [
    "an Event in a namespace that is being deleted",
    forbidden(
      'events "web-0.1" is forbidden: unable to create new content in namespace shop because it is being terminated',
    ),
  ],
  [
    "an Event that the namespace's quota does not let in",
    forbidden(
      'events "web-0.1" is forbidden: exceeded quota: none, requested: count/events=1, used: count/events=0, limited: count/events=0',
    ),
  ],
  ["an Event that an admission webhook denies", forbidden('admission webhook "no.example.com" denied the request')],
] as const) {
  test(`${what} is dropped, and the next one is sent`, async () => {
    const scene = createScene();
    scene.failures.push(failure);
    scene.recorder.record(repaired);
    scene.recorder.record({ ...repaired, pod: { ...pod, namespace: "other" } });
    await scene.settle();
    assert.equal(scene.requests.length, 2);
    assert.deepEqual(scene.dropped, ["refused 1"]);
    await scene.end();
  });
}

test("queue and rate are bounded: what is too much is dropped and counted, the rest goes out slowly", async () => {
  const scene = createScene({ maxQueued: 30, burst: 5, perSecond: 2 });
  for (let index = 0; index < 40; index++) scene.recorder.record({ ...repaired, pod: { ...pod, uid: `u${index}` } });
  assert.equal(scene.dropped.filter((line) => line === "full 1").length, 10);
  await scene.settle();
  assert.equal(scene.requests.length, 5);
  await scene.advance(5_000);
  assert.equal(scene.requests.length, 15);
  await scene.end();
  assert.equal(scene.dropped.filter((line) => line === "ended 1").length, 15);
});

test("names and messages keep to the API's limits, in whole characters", async () => {
  const scene = createScene();
  const name = `${"a".repeat(228)}.${"b".repeat(20)}`;
  scene.recorder.record({ ...repaired, pod: { ...pod, name }, message: "ä".repeat(2000) });
  await scene.settle();
  const [request] = scene.requests;
  const eventName = eventNameOf(request?.body);
  assert.ok(eventName.length <= 253);
  assert.match(eventName, /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
  assert.doesNotMatch(eventName, /\.\./);
  const message = String(request?.body["message"]);
  assert.ok(new TextEncoder().encode(message).length <= 1024);
  assert.match(message, /^ä+…$/);
  await scene.end();
});

test("what a pod's author wrote cannot command the terminal of whoever reads the Event", async () => {
  const scene = createScene();
  scene.recorder.record({ ...repaired, message: "a\u001b[2J\u009b1m\u202eb" });
  await scene.settle();
  assert.equal(scene.requests[0]?.body["message"], "a\\u{1b}[2J\\u{9b}1m\\u{202e}b");
  await scene.end();
});

function eventNameOf(body: Record<string, unknown> = {}): string {
  const { metadata } = body;
  assert.ok(typeof metadata === "object" && metadata !== null && "name" in metadata);
  return String(metadata.name);
}
