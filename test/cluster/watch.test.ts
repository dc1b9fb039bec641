// The agent's informers against a real kube-apiserver: what the stand-in is trusted to do, seen on the original. Runs
// in the shared lab's network; with KUBECONFIG from where the test runs, without the restarts.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createInformers, type Informers } from "../../src/agent/informers/informers.ts";
import { parsePod } from "../../src/core/kube/pod.ts";
import { parseWatchEvent, type WatchEvent } from "../../src/core/kube/watch-event.ts";
import { createWatchFrames } from "../../src/core/kube/watch-frames.ts";
import type { Logger } from "../../src/core/log.ts";
import { createSystemClock } from "../../src/platform/clock.ts";
import { createKubeconfigCredentials } from "../../src/platform/http/credentials.ts";
import { createKubeClient, type KubeClient } from "../../src/platform/http/kube-client.ts";
import { type Cluster, createCluster, until } from "../../testbed/cluster/create-cluster.ts";

const NAMESPACE = "watched";
const deadline = (): AbortSignal => AbortSignal.timeout(60_000);
const clock = createSystemClock();

describe("the informers against a kube-apiserver", () => {
  let cluster: Cluster;
  let api: KubeClient;
  let informers: Informers;
  let network: Disposable | undefined;
  let running: Promise<void> | undefined;
  const ending = new AbortController();
  const reports: string[] = [];

  before(async () => {
    cluster = await createCluster();
    network = cluster.lab?.enterNetwork();
    api = createKubeClient(createKubeconfigCredentials(cluster.kubeconfig, clock.nowMs), { userAgent: "watch-test/1" });
    informers = createInformers(
      {
        ...{ api, clock, log: silentLogger(), random: Math.random },
        metrics: { changed: () => undefined, reported: (kind, what) => void reports.push(`${kind} ${what}`) },
      },
      { nodeName: cluster.nodeName },
    );
    running = informers.start(ending.signal);
    await informers.pods.waitSynced(deadline());
    await informers.namespaces.waitSynced(deadline());
  });
  after(async () => {
    ending.abort(new Error("the test is over"));
    await running;
    api?.close();
    network?.[Symbol.dispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  /** A pod that is bound to the node by its maker, so that no scheduler is needed. Its image does not exist. */
  async function createPod(name: string): Promise<void> {
    const containers = [{ name: "app", image: "localhost/none:1", imagePullPolicy: "Never" }];
    const spec = { nodeName: cluster.nodeName, terminationGracePeriodSeconds: 0, containers };
    await cluster.apply([{ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: NAMESPACE }, spec }]);
  }
  const seen = (name: string) => informers.pods.waitFor((pod) => pod.name === name, deadline());
  const gone = (name: string) =>
    until(`the end of ${name}`, 60_000, async () => informers.pods.byName(NAMESPACE, name) === undefined);
  const deletePod = (name: string) => cluster.kubectl(["-n", NAMESPACE, "delete", "pod", name, "--grace-period=0"]);

  test("follow a namespace's labels", async () => {
    await cluster.createNamespace(NAMESPACE);
    await informers.namespaces.waitFor(({ name }) => name === NAMESPACE, deadline());
    await cluster.kubectl(["label", "namespace", NAMESPACE, "istio-injection=enabled"]);
    await informers.namespaces.waitFor(({ labels }) => labels["istio-injection"] === "enabled", deadline());
  });

  test("show a pod of the node with the fields we read, its changes and its end", async () => {
    await createPod("first");
    const pod = await seen("first");
    assert.equal(pod.namespace, NAMESPACE);
    assert.match(pod.uid, /^[0-9a-f-]{36}$/);
    assert.deepEqual(
      pod.containers.map(({ name }) => name),
      ["app"],
    );
    await cluster.kubectl(["-n", NAMESPACE, "annotate", "pod", "first", "a=b"]);
    await informers.pods.waitFor(({ name, annotations }) => name === "first" && annotations["a"] === "b", deadline());
    await deletePod("first");
    await gone("first");
  });

  /** All events of one watch until the server ends it. */
  async function readWatch(resourceVersion: string, nodeName: string): Promise<readonly WatchEvent<unknown>[]> {
    const events: WatchEvent<unknown>[] = [];
    const frames = createWatchFrames(1024 * 1024);
    const selection = { fieldSelector: `spec.nodeName=${nodeName}` };
    const query = { ...selection, resourceVersion, timeoutSeconds: 5, idleTimeoutMs: 30_000 };
    for await (const chunk of await api.watch({ plural: "pods" }, query, deadline()))
      for (const line of frames.push(chunk) ?? []) events.push(parseWatchEvent(line, parsePod));
    return events;
  }

  test("get a bookmark before the server ends a watch, though nothing of theirs has changed", async () => {
    await createPod("elsewhere");
    const { resourceVersion } = await seen("elsewhere");
    const watched = readWatch(resourceVersion, "no-such-node");
    await deletePod("elsewhere");
    const events = await watched;
    assert.deepEqual([...new Set(events.map(({ type }) => type))], ["bookmark"], JSON.stringify(events));
    await gone("elsewhere");
  });

  test("learn what happened while the server was away", async (t) => {
    const { lab } = cluster;
    if (lab === undefined) return t.skip("only the lab's API server can be ended");
    await createPod("before");
    await seen("before");
    reports.length = 0;
    await lab.restartApiServer();
    await until(
      "the API server",
      60_000,
      async () => (await cluster.tryKubectl(["get", "--raw", "/readyz"])).status === 0,
    );
    await deletePod("before");
    await createPod("after");
    await seen("after");
    await gone("before");
    // It remembers nothing older than its start: that is answered with 410, whereupon all is listed.
    t.diagnostic(reports.join(", "));
    assert.ok(reports.includes("namespaces relist"), reports.join(", "));
    const [forgotten] = await readWatch("1", cluster.nodeName);
    assert.ok(forgotten?.type === "error" && forgotten.error.status === 410, JSON.stringify(forgotten));
    await deletePod("after");
    await gone("after");
  });
});

function silentLogger(): Logger {
  const nothing = (): void => undefined;
  const log: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, scope: () => log };
  return log;
}
