import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ApiServer, createApiServer } from "../../../testbed/api-server/api-server.ts";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import { createSystemClock } from "../../platform/clock.ts";
import { createInClusterCredentials } from "../../platform/http/credentials.ts";
import { createKubeClient } from "../../platform/http/kube-client.ts";
import { createInformers, type Informers } from "./informers.ts";
import { createPodLookup } from "./pod-lookup.ts";

const clock = createSystemClock();
/** Waits pass in a twentieth of their time: what is tested is that they end, not how long they are. */
const hastyClock: Clock = { nowMs: clock.nowMs, sleep: (ms, signal) => clock.sleep(ms / 20, signal) };
const deadline = (): AbortSignal => AbortSignal.timeout(60_000);

/** The stand-in's API server, and informers that reach it as they do in a pod: by service-account files. */
async function createScene(maxPods = 100, followsNamespaces = true) {
  const server = await createApiServer();
  const dir = mkdtempSync(join(tmpdir(), "informers-"));
  await server.writeServiceAccount(dir);
  const options = { host: server.host, port: String(server.port), serviceAccountDir: dir };
  const api = createKubeClient(createInClusterCredentials(options, clock.nowMs), { userAgent: "informers-test/1" });
  const reports: string[] = [];
  const log = silentLogger();
  const informers = createInformers(
    {
      ...{ api, log, clock: hastyClock },
      random: () => 0,
      metrics: { changed: () => undefined, reported: (kind, what) => reports.push(`${kind} ${what}`) },
    },
    { nodeName: "node-1", maxPods, followsNamespaces },
  );
  const ending = new AbortController();
  let running: Promise<void> | undefined;
  return {
    ...{ server, informers, reports },
    lookup: createPodLookup({ api, clock, pods: informers.pods }, { patienceMs: 60_000 }),
    /** Starts the informers; resolves when they are synced and watch. */
    async start(): Promise<void> {
      running = informers.start(ending.signal);
      await Promise.all([informers.pods.waitSynced(deadline()), informers.namespaces.waitSynced(deadline())]);
      await server.waitFor(() => server.watches() === (followsNamespaces ? 2 : 1), "their watches");
    },
    [Symbol.asyncDispose]: async () => {
      ending.abort(new Error("the test is over"));
      await running;
      api.close();
      await server.stop();
      rmSync(dir, { recursive: true });
    },
  };
}

function silentLogger(): Logger {
  const nothing = (): void => undefined;
  const log: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, scope: () => log };
  return log;
}

function putPod(server: ApiServer, name: string, nodeName = "node-1", metadata: object = {}): string {
  const pod = server.put({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "default", name, ...metadata },
    spec: { nodeName, containers: [{ name: "app", image: "app" }] },
  });
  return String(pod.metadata["uid"]);
}

const names = (informers: Informers): string[] =>
  informers.pods
    .list()
    .map(({ name }) => name)
    .sort();

const podNamed = (informers: Informers, name: string) => informers.pods.waitFor((pod) => pod.name === name, deadline());

/** Resolves with the next event that matches. */
function nextEvent(informers: Informers, wanted: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const subscription = informers.pods.subscribe(({ type, pod }) => {
    if (`${type} ${pod.name}` !== wanted) return;
    subscription[Symbol.dispose]();
    resolve();
  });
  return promise;
}

test("the informers know the pods of their node and the labels of all namespaces", async () => {
  await using scene = await createScene();
  const { server, informers } = scene;
  putPod(server, "here");
  putPod(server, "elsewhere", "node-2");
  server.put({ apiVersion: "v1", kind: "Namespace", metadata: { name: "shop", labels: { "istio.io/rev": "x" } } });
  assert.equal(informers.synced(), false);
  await scene.start();
  assert.equal(informers.synced(), true);
  assert.deepEqual(names(informers), ["here"]);
  assert.equal(informers.pods.byName("default", "here")?.nodeName, "node-1");
  assert.equal(informers.namespaces.get("shop")?.labels["istio.io/rev"], "x");
  assert.equal(informers.namespaces.size(), 5);
});

test("the informers follow additions, updates and deletions", async () => {
  await using scene = await createScene();
  const { server, informers } = scene;
  await scene.start();
  putPod(server, "a");
  assert.equal((await podNamed(informers, "a")).labels["v"], undefined);
  server.patch("pods", "default/a", { metadata: { labels: { v: "2" } } });
  await informers.pods.waitFor((pod) => pod.labels["v"] === "2", deadline());
  const deleted = nextEvent(informers, "delete a");
  server.remove("pods", "default/a");
  await deleted;
  assert.deepEqual(names(informers), []);
  server.put({ apiVersion: "v1", kind: "Namespace", metadata: { name: "late" } });
  assert.equal((await informers.namespaces.waitFor(({ name }) => name === "late", deadline())).name, "late");
});

test("the informers ask nothing about namespaces where nobody decides by them", async () => {
  await using scene = await createScene(100, false);
  const { server, informers } = scene;
  server.fault({ verb: "list", resource: "namespaces" }, { kind: "status", code: 403 });
  await scene.start();
  assert.equal(informers.synced(), true);
  assert.deepEqual(
    informers.health().map(({ kind, failures }) => [kind, failures]),
    [["pods", 0]],
  );
  assert.equal(informers.namespaces.size(), 0);
});

test("the informers read many pages", async () => {
  await using scene = await createScene(500);
  for (let index = 0; index < 250; index += 1) putPod(scene.server, `p${index}`);
  // From version 0 the server may ignore the limit; refusing that list once makes the next one a paginated one.
  scene.server.fault({ verb: "list", resource: "pods" }, { kind: "status", code: 410 }, 1);
  await scene.start();
  assert.equal(scene.informers.pods.size(), 250);
});

for (const how of ["end", "reset", "expired"] as const) {
  test(`the informers miss nothing when their watches close (${how})`, async () => {
    await using scene = await createScene();
    const { server, informers } = scene;
    putPod(server, "gone");
    await scene.start();
    const deleted = nextEvent(informers, "delete gone");
    server.closeWatches(how);
    server.remove("pods", "default/gone");
    putPod(server, "new");
    await Promise.all([deleted, podNamed(informers, "new")]);
    assert.deepEqual(names(informers), ["new"]);
  });
}

test("the informers list anew when their version is compacted away, and announce what was deleted meanwhile", async () => {
  await using scene = await createScene();
  const { server, informers, reports } = scene;
  putPod(server, "gone");
  putPod(server, "stays");
  await scene.start();
  const deleted = nextEvent(informers, "delete gone");
  await server.stop();
  server.remove("pods", "default/gone");
  putPod(server, "new");
  server.compact();
  await server.start();
  await Promise.all([deleted, podNamed(informers, "new")]);
  assert.deepEqual(names(informers), ["new", "stays"]);
  assert.ok(reports.includes("pods relist"), reports.join());
});

test("the informers keep what they know while the API server is away, and say how they stand", async () => {
  await using scene = await createScene();
  const { server, informers } = scene;
  putPod(server, "a");
  await scene.start();
  await server.stop();
  assert.deepEqual(names(informers), ["a"]);
  assert.equal(informers.synced(), true);
  await server.start();
  putPod(server, "b");
  await podNamed(informers, "b");
  const [pods] = informers.health();
  assert.deepEqual([pods?.kind, pods?.isSynced, pods?.failures, pods?.objects], ["pods", true, 0, 2]);
});

test("the informers take up a rotated token without losing the store", async () => {
  await using scene = await createScene();
  const { server, informers, reports } = scene;
  putPod(server, "a");
  await scene.start();
  const old = server.token;
  await server.rotateToken();
  server.revokeToken(old);
  server.closeWatches("end");
  putPod(server, "b");
  await podNamed(informers, "b");
  assert.deepEqual(names(informers), ["a", "b"]);
  assert.deepEqual(
    reports.filter((report) => report.includes("failure")),
    [],
    "a rotation is no failure",
  );
});

const badAnswers = [
  { kind: "html" },
  { kind: "garbage" },
  { kind: "reset" },
  { kind: "truncated" },
  { kind: "status", code: 403 },
  { kind: "status", code: 429, retryAfterSeconds: 0 },
  { kind: "status", code: 500 },
] as const;
for (const fault of badAnswers) {
  const title = "code" in fault ? `status ${fault.code}` : fault.kind;
  test(`the informers get over bad answers to list and watch (${title})`, async () => {
    await using scene = await createScene();
    const { server, informers, reports } = scene;
    putPod(server, "a");
    server.fault({ verb: "list", resource: "pods" }, fault, 2);
    if (fault.kind !== "truncated") server.fault({ verb: "watch", resource: "pods" }, fault, 2);
    await scene.start();
    putPod(server, "b");
    await podNamed(informers, "b");
    assert.deepEqual(names(informers), ["a", "b"]);
    assert.ok(reports.includes("pods failure"), reports.join());
  });
}

for (const close of ["end", "reset"] as const) {
  test(`the informers get over half a watch event (${close})`, async () => {
    await using scene = await createScene();
    const { server, informers } = scene;
    const half = server.fault({ verb: "watch", resource: "pods" }, { kind: "half-event", close }, 1);
    await scene.start();
    putPod(server, "a");
    await podNamed(informers, "a");
    assert.equal(half.hits(), 1);
  });
}

test("the informers read a 5 MB object and do not keep its bulk", async () => {
  await using scene = await createScene();
  const { server, informers } = scene;
  putPod(server, "a");
  server.fault({ resource: "pods" }, { kind: "large-object", bytes: 5_000_000 });
  await scene.start();
  putPod(server, "b");
  const pod = await podNamed(informers, "b");
  assert.ok(JSON.stringify(pod).length < 5_000);
  assert.deepEqual(names(informers), ["a", "b"]);
});

test("the look-up finds by the API what the watch does not show", async () => {
  await using scene = await createScene();
  const { server, lookup } = scene;
  server.fault({ verb: "watch", resource: "pods" }, { kind: "silent-watch" });
  await scene.start();
  server.clearRequests();
  const uid = putPod(server, "late");
  const found = await lookup.findPod({ namespace: "default", name: "late", uid }, deadline());
  assert.deepEqual([found.found, found.found && found.source], [true, "api"]);
  assert.equal(server.requests({ method: "GET" }).length, 1);
});

test("the look-up waits for the successor of a pod that gave its name on", async () => {
  await using scene = await createScene();
  const { server, informers, lookup } = scene;
  putPod(server, "web-0");
  await scene.start();
  const uid = "33333333-3333-4333-8333-333333333333";
  const finding = lookup.findPod({ namespace: "default", name: "web-0", uid }, deadline());
  await server.waitFor(
    () => server.requests({ name: "web-0" }).some(({ endedMs }) => endedMs !== undefined),
    "the GET",
  );
  server.remove("pods", "default/web-0");
  putPod(server, "web-0", "node-1", { uid });
  const found = await finding;
  assert.deepEqual([found.found && found.pod.uid, found.found && found.source], [uid, "watch"]);
  assert.equal(informers.pods.byName("default", "web-0")?.uid, uid);
});

test("createInformers() refuses to begin without a node's name, and with one that no node can have", () => {
  const nothing = (): never => assert.fail("nothing is asked");
  const api = { list: nothing, watch: nothing, refreshCredentials: nothing };
  const deps = { api, clock, log: silentLogger(), random: () => 0 };
  for (const nodeName of [undefined, ""]) {
    assert.throws(() => createInformers(deps, { nodeName }), {
      code: "INFORMERS_NODE_NAME",
      message: /NODE_NAME is not set/,
    });
  }
  for (const nodeName of ["a,metadata.name=b", "A", "a/b", "-a"]) {
    assert.throws(() => createInformers(deps, { nodeName }), { code: "INFORMERS_NODE_NAME" }, nodeName);
  }
});
