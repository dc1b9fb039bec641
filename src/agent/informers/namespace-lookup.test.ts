import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError } from "../../core/kube/kube-api-error.ts";
import { type Namespace, parseNamespace } from "../../core/kube/namespace.ts";
import { createInformerStore } from "./informer-store.ts";
import { createNamespaceLookup, type NamespaceLookupResult } from "./namespace-lookup.ts";

function namespaceJson(name: string, labels: object = {}): unknown {
  return { metadata: { name, uid: `uid-${name}`, resourceVersion: "1", labels } };
}

/** A lookup whose API answers what the test says, as soon as it is asked. */
function createScene(answer: (requests: number) => unknown, { patienceMs = 60_000 } = {}) {
  const store = createInformerStore<Namespace>("namespaces", 100, {
    onReport: () => undefined,
    onChange: () => undefined,
  });
  const sleeps: number[] = [];
  let requests = 0;
  const asking = Promise.withResolvers<void>();
  const lookup = createNamespaceLookup(
    {
      namespaces: { get: (name) => store.objects.byName("", name), waitFor: store.objects.waitFor },
      clock: {
        nowMs: () => 0,
        sleep: (ms, signal) => {
          sleeps.push(ms);
          // The limit of a request never comes; every other time passes at once.
          if (ms !== 3000) return new Promise((resolve) => setImmediate(resolve));
          return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        },
      },
      api: {
        get: async (ref) => {
          assert.deepEqual(ref, { plural: "namespaces", name: "shop" });
          requests += 1;
          const value = answer(requests);
          asking.resolve();
          if (value instanceof Error) throw value;
          return value;
        },
        refreshCredentials: () => undefined,
      },
    },
    { patienceMs },
  );
  const deadline = new AbortController();
  return {
    asked: asking.promise,
    requests: () => requests,
    sleeps,
    show: (name: string, labels?: object) => store.sink.upsert([parseNamespace(namespaceJson(name, labels))]),
    find: (name = "shop") => lookup.findNamespace(name, deadline.signal),
    expire: () => deadline.abort(new Error("deadline")),
  };
}

const brief = (result: NamespaceLookupResult): string =>
  result.found ? `${result.source} ${result.namespace.uid}` : result.message;

test("findNamespace() answers from the store without a request", async () => {
  const scene = createScene(() => assert.fail());
  scene.show("shop");
  assert.equal(brief(await scene.find()), "store uid-shop");
  assert.deepEqual([scene.requests(), scene.sleeps], [0, []]);
});

test("findNamespace() waits for the watch, for this name alone", async () => {
  const scene = createScene(() => new KubeApiError("KUBE_API_STATUS", "not there", { status: 404 }));
  const finding = scene.find();
  await scene.asked;
  scene.show("other");
  scene.show("shop");
  assert.equal(brief(await finding), "watch uid-shop");
});

test("findNamespace() asks the API when the watch is slow, and again when that fails", async () => {
  const scene = createScene((requests) =>
    requests < 3 ? new KubeApiError("KUBE_API_STATUS", "busy", { status: 503 }) : namespaceJson("shop", { a: "b" }),
  );
  const result = await scene.find();
  assert.equal(brief(result), "api uid-shop");
  assert.equal(result.found && result.namespace.labels["a"], "b");
  assert.deepEqual(
    scene.sleeps.filter((ms) => ms !== 3000),
    [300, 500, 500],
  );
});

test("findNamespace() asks in half of the time where there is little", async () => {
  const scene = createScene(() => namespaceJson("shop"), { patienceMs: 100 });
  assert.equal(brief(await scene.find()), "api uid-shop");
  assert.equal(scene.sleeps[0], 50);
});

const failures: readonly (readonly [what: string, answer: unknown, message: RegExp])[] = [
  [
    "says there is none",
    new KubeApiError("KUBE_API_STATUS", "no", { status: 404 }),
    /: the API server does not know it$/,
  ],
  ["answers with another", namespaceJson("other"), /: the API server does not know it$/],
  ["answers nonsense", { metadata: {} }, /: Cannot read Namespace: metadata.name is required/],
];
for (const [what, answer, message] of failures) {
  test(`findNamespace() says so at the deadline when the API ${what}`, async () => {
    const scene = createScene(() => answer);
    const finding = scene.find();
    await scene.asked;
    await new Promise((resolve) => setImmediate(resolve));
    scene.expire();
    const result = await finding;
    assert.equal(result.found, false);
    assert.match(brief(result), /^namespace shop is not known yet: /);
    assert.match(brief(result), message);
    assert.equal(scene.requests(), 1);
  });
}

test("findNamespace() says so when the deadline comes before anything else", async () => {
  const scene = createScene(() => assert.fail());
  scene.expire();
  assert.equal(brief(await scene.find()), "namespace shop is not known yet: the API server was not asked in time");
});

test("findNamespace() refuses a name that no namespace can have without waiting", async () => {
  const scene = createScene(() => assert.fail());
  const result = await scene.find("../pods");
  assert.equal(result.found, false);
  assert.match(brief(result), /pods/);
});
