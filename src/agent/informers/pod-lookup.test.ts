import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "../../core/kube/kube-api-error.ts";
import { type Pod, parsePod } from "../../core/kube/pod.ts";
import { createInformerStore } from "./informer-store.ts";
import { createPodLookup, type PodIdentity, type PodLookupResult } from "./pod-lookup.ts";

const wanted: PodIdentity = { namespace: "shop", name: "web-0", uid: "u1" };

function podJson(metadata: object = {}): unknown {
  return { metadata: { namespace: "shop", name: "web-0", uid: "u1", resourceVersion: "1", ...metadata } };
}

/** A lookup whose API and clock wait for the test to move them. */
function createScene({ patienceMs = 60_000 } = {}) {
  const store = createInformerStore<Pod>("pods", 100, { onReport: () => undefined, onChange: () => undefined });
  const alarm = Promise.withResolvers<void>();
  let answer = Promise.withResolvers<unknown>();
  let asked = Promise.withResolvers<void>();
  /** By their length: the pause before another try, and the limit of one. */
  const timers = new Map<number, () => void>();
  const deadline = new AbortController();
  let requests = 0;
  let sleptMs = 0;
  let refreshes = 0;
  const lookup = createPodLookup(
    {
      pods: store.objects,
      clock: {
        nowMs: () => 0,
        sleep: (ms, signal) => {
          const aborted = Promise.withResolvers<never>();
          signal.addEventListener("abort", () => aborted.reject(signal.reason));
          if (sleptMs === 0) {
            sleptMs = ms;
            return Promise.race([alarm.promise, aborted.promise]);
          }
          return Promise.race([new Promise<void>((resolve) => timers.set(ms, resolve)), aborted.promise]);
        },
      },
      api: {
        get: (_ref, signal) => {
          requests += 1;
          asked.resolve();
          const aborted = Promise.withResolvers<never>();
          signal.addEventListener("abort", () => aborted.reject(signal.reason));
          return Promise.race([answer.promise, aborted.promise]);
        },
        refreshCredentials: () => {
          refreshes += 1;
        },
      },
    },
    { patienceMs },
  );
  return {
    sync: () => store.sink.synced(),
    show: (metadata?: object) => store.sink.upsert([parsePod(podJson(metadata))]),
    find: (identity: PodIdentity = wanted) => lookup.findPod(identity, deadline.signal),
    /** Whether the answer is there without anything to wait for. */
    isKnown: (identity: PodIdentity = wanted) =>
      Promise.race([
        lookup.findPod(identity, deadline.signal).then(({ found }) => found),
        new Promise((resolve) => setImmediate(() => resolve(false))),
      ]),
    /** Lets the patience end and the API answer. */
    async api(value: unknown): Promise<void> {
      alarm.resolve();
      await asked.promise;
      if (value instanceof Error) answer.reject(value);
      else answer.resolve(value);
      await new Promise((resolve) => setImmediate(resolve));
    },
    /** Lets a timer of this length run out, and what follows from it happen. */
    async pass(ms: number): Promise<void> {
      answer = Promise.withResolvers<unknown>();
      asked = Promise.withResolvers<void>();
      timers.get(ms)?.();
      await new Promise((resolve) => setImmediate(resolve));
    },
    refreshes: () => refreshes,
    expire: () => deadline.abort(new Error("deadline")),
    requests: () => requests,
    sleptMs: () => sleptMs,
  };
}

const brief = (result: PodLookupResult): string =>
  result.found ? `${result.source} ${result.pod.uid}` : `${result.reason}: ${result.message}`;

test("findPod() answers from the store without a request", async () => {
  const scene = createScene();
  scene.show();
  assert.equal(brief(await scene.find()), "store u1");
  assert.deepEqual([scene.requests(), scene.sleptMs()], [0, 0]);
});

test("findPod() answers at once with what the watch has shown, and with nothing that needs the API's word", async () => {
  const scene = createScene();
  assert.equal(await scene.isKnown(), false);
  scene.show();
  assert.equal(await scene.isKnown(), true);
  assert.equal(await scene.isKnown({ ...wanted, uid: "" }), true);
  assert.equal(await scene.isKnown({ ...wanted, uid: "u2" }), false);
  scene.show({ resourceVersion: "2", deletionTimestamp: "2026-01-01T00:00:00Z" });
  assert.equal(await scene.isKnown(), true);
  assert.equal(await scene.isKnown({ ...wanted, uid: undefined }), false);
  scene.expire();
});

test("findPod() has patience of its own beside the caller's deadline", { timeout: 60_000 }, async () => {
  const scene = createScene({ patienceMs: 1 });
  const alive = setTimeout(() => undefined, 60_000);
  assert.match(brief(await scene.find()), /^not-synced: /);
  clearTimeout(alive);
});

test("findPod() waits for the watch", async () => {
  const scene = createScene();
  const finding = scene.find();
  scene.show({ name: "other", uid: "u9" });
  scene.show();
  assert.equal(brief(await finding), "watch u1");
  assert.equal(scene.requests(), 0);
});

test("findPod() asks the API once when the watch is slow", async () => {
  const scene = createScene();
  const finding = scene.find();
  assert.equal(scene.sleptMs(), 300);
  await scene.api(podJson());
  assert.equal(brief(await finding), "api u1");
  assert.equal(scene.requests(), 1);
});

test("findPod() does not take a pod of the same name for the wanted one", async () => {
  const scene = createScene();
  scene.sync();
  scene.show({ uid: "predecessor" });
  const finding = scene.find();
  await scene.api(podJson({ uid: "predecessor" }));
  scene.show({ uid: "successor", resourceVersion: "2" });
  scene.show({ uid: "u1", resourceVersion: "3" });
  assert.equal(brief(await finding), "watch u1");
});

test("findPod() knows a static pod by the annotations of its mirror", async () => {
  for (const key of ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"]) {
    const scene = createScene();
    scene.show({ uid: "of-the-mirror", annotations: { [key]: "u1" } });
    assert.equal(brief(await scene.find()), "store of-the-mirror");
  }
});

test("findPod() does not believe a mirror annotation on a pod of another name", async () => {
  const scene = createScene();
  scene.sync();
  scene.show({ uid: "x", name: "web-1", annotations: { "kubernetes.io/config.hash": "u1" } });
  const finding = scene.find();
  scene.expire();
  assert.match(brief(await finding), /^not-seen/);
});

test("findPod() goes by name where the runtime gives no UID", async () => {
  for (const uid of [undefined, ""]) {
    const scene = createScene();
    scene.show({ uid: "any" });
    assert.equal(brief(await scene.find({ ...wanted, uid })), "store any");
  }
});

test("findPod() without UID does not take the watch's word for a terminating pod, but the API's", async () => {
  const scene = createScene();
  scene.show({ uid: "old", deletionTimestamp: "2026-01-01T00:00:00Z" });
  const finding = scene.find({ ...wanted, uid: undefined });
  await scene.api(podJson({ uid: "old", deletionTimestamp: "2026-01-01T00:00:00Z" }));
  assert.equal(brief(await finding), "api old");

  const replaced = createScene();
  replaced.show({ uid: "old", deletionTimestamp: "2026-01-01T00:00:00Z" });
  const waiting = replaced.find({ ...wanted, uid: undefined });
  replaced.show({ uid: "new" });
  assert.equal(brief(await waiting), "watch new");
});

const endings: readonly (readonly [
  what: string,
  prepare: (scene: ReturnType<typeof createScene>) => unknown,
  RegExp,
])[] = [
  [
    "nothing was ever heard",
    () => undefined,
    /^not-synced: pod shop\/web-0 \(uid u1\) is not known yet: the API server has not/,
  ],
  ["nobody was asked", (scene) => scene.sync(), /^not-seen: .* the API server was not asked in time/],
  [
    "the API does not know it",
    async (scene) => {
      scene.sync();
      await scene.api(new KubeApiError("KUBE_API_STATUS", "Cannot get", { status: 404 }));
    },
    /^not-seen: .* the API server does not know it/,
  ],
  [
    "the API has another",
    async (scene) => {
      scene.sync();
      await scene.api(podJson({ uid: "u2" }));
    },
    /^other-uid: .* its name belongs to another pod/,
  ],
  [
    "the store has another",
    (scene) => {
      scene.sync();
      scene.show({ uid: "u2" });
    },
    /^other-uid: .* another pod \(uid u2\)/,
  ],
  [
    "the API cannot be asked",
    async (scene) => {
      scene.sync();
      await scene.api(
        new KubeApiError("KUBE_API_STATUS", "Cannot get pods/shop/web-0: the API answered 403", { status: 403 }),
      );
    },
    /^api-error: .* Cannot get pods\/shop\/web-0: the API answered 403/,
  ],
  ["the API's answer is no pod", (scene) => scene.api({ metadata: {} }), /^api-error: .* Cannot read Pod/],
];
for (const [what, prepare, expected] of endings) {
  test(`findPod() says at its deadline that ${what}`, async () => {
    const scene = createScene();
    const finding = scene.find();
    await prepare(scene);
    scene.expire();
    assert.match(brief(await finding), expected);
  });
}

test("findPod() answers at once when its deadline has passed before it began", async () => {
  const scene = createScene();
  scene.expire();
  assert.match(brief(await scene.find()), /^not-synced/);
  assert.equal(scene.requests(), 0);
});

test("findPod() refuses a name that no pod can have, without asking", async () => {
  const scene = createScene();
  for (const name of ["../../nodes", "", "A", "a/b?watch=1"]) {
    assert.match(brief(await scene.find({ ...wanted, name })), /^invalid-name: Cannot address/);
  }
  assert.equal(scene.requests(), 0);
});

test("findPod() lets a defect out", async () => {
  const scene = createScene();
  const finding = scene.find();
  await Promise.all([assert.rejects(finding, TypeError), scene.api(new TypeError("defect"))]);
});

test("findPod() asks again after a fault, with the newest token, and takes the answer then", async () => {
  const scene = createScene();
  const finding = scene.find();
  await scene.api(new KubeApiError("KUBE_API_STATUS", "Cannot get pod: 401 Unauthorized", { status: 401 }));
  assert.equal(scene.refreshes(), 1);
  await scene.pass(500);
  await scene.api(podJson());
  assert.equal(brief(await finding), "api u1");
  assert.equal(scene.requests(), 2);
});

test("findPod() stays away from the API as long as that asks for it", async () => {
  const scene = createScene();
  const finding = scene.find();
  await scene.api(new KubeApiError("KUBE_API_STATUS", "Cannot get pod: 429", { status: 429, retryAfterMs: 7000 }));
  await scene.pass(500);
  assert.equal(scene.requests(), 1, "it asked before the time was over");
  await scene.pass(7000);
  await scene.api(podJson());
  assert.equal(brief(await finding), "api u1");
  assert.equal(scene.requests(), 2);
});

test("findPod() does not wait for one answer for ever", async () => {
  const scene = createScene();
  const finding = scene.find();
  const hanging = scene.api(new Promise(() => undefined));
  await hanging;
  await scene.pass(3000);
  await scene.pass(500);
  await scene.api(podJson());
  assert.equal(brief(await finding), "api u1");
  assert.equal(scene.requests(), 2);
});

test("findPod() asks no more once the API has said that there is no such name", async () => {
  const scene = createScene();
  scene.sync();
  const finding = scene.find();
  await scene.api(new KubeApiError("KUBE_API_STATUS", "not found", { status: 404 }));
  await scene.pass(500);
  assert.equal(scene.requests(), 1);
  scene.expire();
  assert.match(brief(await finding), /^not-seen/);
});
