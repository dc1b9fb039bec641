import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ApiServer, createApiServer } from "../../../testbed/api-server/api-server.ts";
import { repairOptions, SETTINGS } from "../../../testbed/sidecar-samples.ts";
import { type Pod, parsePod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import { createSystemClock } from "../../platform/clock.ts";
import { createInClusterCredentials } from "../../platform/http/credentials.ts";
import { createKubeClient } from "../../platform/http/kube-client.ts";
import { runRepairController } from "./repair-controller.ts";

const clock = createSystemClock();
const KEY = "cni.istio.io/uninitialized";
type Told = { readonly reason: string; readonly message: string; readonly component: string };

/** The stand-in's API server, a store that follows it by hand, a controller that runs. Waits pass in a hundredth of their time. */
async function createScene(mode: "delete" | "label") {
  const server = await createApiServer();
  const dir = mkdtempSync(join(tmpdir(), "repair-"));
  await server.writeServiceAccount(dir);
  const credentials = { host: server.host, port: String(server.port), serviceAccountDir: dir };
  const api = createKubeClient(createInClusterCredentials(credentials, clock.nowMs), { userAgent: "repair-test/1" });
  const pods = new Map<string, Pod>();
  const listeners = new Set<(event: { type: "add" | "update" | "delete"; pod: Pod }) => void>();
  const told: Told[] = [];
  const counted: string[] = [];
  const logged: string[] = [];
  const ending = new AbortController();
  const say = (message: string, labels?: object): void => void logged.push(`${message} ${JSON.stringify(labels)}`);
  const log: Logger = { debug() {}, info() {}, warn: say, error: say, scope: () => log };
  const announce = (type: "add" | "update" | "delete", pod: Pod): void => {
    for (const listener of listeners) listener({ type, pod });
  };
  let running: Promise<void> = Promise.resolve();
  const scene = {
    ...{ server, told, counted, logged },
    start(): void {
      running = runRepairController(
        {
          api,
          pods: {
            get: (uid) => pods.get(uid),
            list: () => [...pods.values()],
            subscribe(listener) {
              listeners.add(listener);
              return { [Symbol.dispose]: () => void listeners.delete(listener) };
            },
            waitSynced: async () => {},
          },
          recordEvent: ({ reason, message, component }) => void told.push({ reason, message, component }),
          count: (type, result) => void counted.push(`${type} ${result}`),
          clock: { nowMs: () => clock.nowMs() * 100, sleep: (ms, signal) => clock.sleep(ms / 100, signal) },
          random: () => 0.5,
          log,
        },
        {
          repair: repairOptions(mode),
          labelValue: "true",
          settings: SETTINGS,
        },
        ending.signal,
      );
    },
    /** Puts a pod on the server and shows it to the controller. */
    putPod(name: string, options: { readonly exitCode?: number; readonly labels?: object } = {}): Pod {
      const { exitCode = 126, labels = {} } = options;
      const status = { name: "istio-validation", state: { terminated: { exitCode, reason: "Error" } } };
      const object = server.put({
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          namespace: "default",
          name,
          labels: { ...labels },
          annotations: { "sidecar.istio.io/status": "{}" },
        },
        spec: { nodeName: "node-1", containers: [{ name: "istio-proxy", image: "proxy" }] },
        status: { initContainerStatuses: [status] },
      });
      return scene.show("add", parsePod(object));
    },
    show(type: "add" | "update" | "delete", pod: Pod): Pod {
      if (type === "delete") pods.delete(pod.uid);
      else pods.set(pod.uid, pod);
      announce(type, pod);
      return pod;
    },
    /** Looked at after each turn of the loop: what is waited for happens in this process. */
    async until(condition: () => boolean): Promise<void> {
      const deadlineMs = clock.nowMs() + 60_000;
      while (!condition()) {
        if (clock.nowMs() > deadlineMs) throw new Error(`Cannot go on: ${JSON.stringify({ told, counted, logged })}`);
        await new Promise((resolve) => void setImmediate(resolve));
      }
    },
    [Symbol.asyncDispose]: async () => {
      ending.abort(new Error("the test is over"));
      await running;
      api.close();
      await server.stop();
      rmSync(dir, { recursive: true });
    },
  };
  return scene;
}

const writes = (server: ApiServer) => server.requests().filter(({ verb }) => verb === "delete" || verb === "patch");

test("a broken pod is deleted, this very pod as it was judged, with upstream's Event and metric", async () => {
  await using scene = await createScene("delete");
  scene.putPod("web-0");
  scene.putPod("healthy", { exitCode: 0 });
  scene.start();
  await scene.until(() => scene.counted.length > 0);
  assert.equal(scene.server.get("pods", "default/web-0"), undefined);
  assert.ok(scene.server.get("pods", "default/healthy"));
  assert.deepEqual(scene.counted, ["delete success"]);
  assert.deepEqual(scene.told, [
    { reason: "DeleteBrokenPod", message: "pod detected as broken, deleted", component: "cni-repair" },
  ]);
});

test("a pod that came back under the name of a broken one is another pod (D24)", async () => {
  await using scene = await createScene("delete");
  scene.putPod("web-0");
  scene.start();
  await scene.until(() => scene.counted.length === 1);
  // The delete event never came.
  scene.putPod("web-0");
  await scene.until(() => scene.counted.length === 2);
  assert.deepEqual(scene.counted, ["delete success", "delete success"]);
});

test("a pod that changed since it was judged is judged again, and that is no failure", async () => {
  await using scene = await createScene("delete");
  const old = scene.putPod("web-0");
  scene.server.patch("pods", "default/web-0", { metadata: { labels: { changed: "yes" } } });
  scene.start();
  await scene.until(() => writes(scene.server).length === 1);
  const current = parsePod(scene.server.get("pods", "default/web-0"));
  assert.equal(current.uid, old.uid);
  scene.show("update", current);
  await scene.until(() => scene.counted.length === 1);
  assert.deepEqual(scene.counted, ["delete success"]);
});

test("a successor under the same name is not deleted in the place of a pod that is gone", async () => {
  await using scene = await createScene("delete");
  const old = scene.putPod("web-0");
  scene.server.remove("pods", "default/web-0");
  const successor = scene.server.put({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "default", name: "web-0" },
    spec: { nodeName: "node-1", containers: [{ name: "app", image: "app" }] },
  });
  scene.start();
  await scene.until(() => writes(scene.server).length >= 1);
  scene.show("delete", old);
  assert.equal(scene.server.get("pods", "default/web-0")?.metadata["uid"], successor.metadata["uid"]);
  assert.deepEqual(scene.counted, []);
});

test("a failure is told and counted as upstream does, and tried again until it succeeds", async () => {
  await using scene = await createScene("delete");
  scene.server.fault({ verb: "delete" }, { kind: "status", code: 500, message: "boom" }, 2);
  scene.putPod("web-0");
  scene.start();
  await scene.until(() => scene.counted.length === 3);
  assert.deepEqual(scene.counted, ["delete fail", "delete fail", "delete success"]);
  assert.match(scene.told[0]?.message ?? "", /^pod detected as broken, but failed to delete: .*boom/);
});

test("a missing right is said once, with the right that is needed", async () => {
  await using scene = await createScene("delete");
  scene.server.fault({ verb: "delete" }, { kind: "status", code: 403, message: "forbidden" });
  scene.putPod("web-0");
  scene.putPod("web-1");
  scene.start();
  await scene.until(() => scene.counted.length >= 2);
  assert.equal(scene.logged.length, 1);
  assert.match(scene.logged[0] ?? "", /grant delete of pods/);
  assert.equal(scene.told.length, 1);
});

test("a broken pod is labelled through its status, which is all the chart grants", async () => {
  await using scene = await createScene("label");
  scene.putPod("web-0");
  scene.start();
  await scene.until(() => scene.counted.length === 1);
  assert.equal(scene.server.get("pods", "default/web-0")?.metadata.labels?.[KEY], "true");
  const [request] = writes(scene.server);
  assert.match(JSON.stringify(request), /pods\/web-0\/status/);
  assert.deepEqual(scene.told, [
    { reason: "LabelBrokenPod", message: "pod detected as broken, labeled", component: "cni-repair" },
  ]);
});

test("a pod that has the label, whatever its value, is skipped and counted once", async () => {
  await using scene = await createScene("label");
  const labelled = scene.putPod("web-0", { labels: { [KEY]: "seen" } });
  scene.start();
  scene.show("update", labelled);
  scene.putPod("web-1");
  await scene.until(() => scene.counted.length === 2);
  assert.deepEqual(scene.counted, ["label skip", "label success"]);
  assert.equal(scene.server.get("pods", "default/web-0")?.metadata.labels?.[KEY], "seen");
});

test("a label that somebody takes away is put back after a while, and our own is not counted as skipped", async () => {
  await using scene = await createScene("label");
  const broken = scene.putPod("web-0");
  const labelled = { ...broken, labels: { [KEY]: "true" } };
  scene.start();
  await scene.until(() => scene.counted.length === 1);
  for (let turn = 0; turn < 5; turn++) {
    scene.show("update", labelled);
    scene.show("update", broken);
  }
  await new Promise((resolve) => void setImmediate(resolve));
  assert.equal(writes(scene.server).length, 1);
  await scene.until(() => scene.counted.length === 2);
  assert.deepEqual(scene.counted, ["label success", "label success"]);
});

test("a pod that the watch still shows as broken is not labelled twice", async () => {
  await using scene = await createScene("label");
  const broken = scene.putPod("web-0");
  scene.start();
  await scene.until(() => scene.counted.length === 1);
  // The watch is behind.
  scene.show("update", broken);
  scene.show("update", { ...broken, labels: { [KEY]: "true" } });
  // Another one comes and goes by in the meantime.
  scene.putPod("web-1");
  await scene.until(() => scene.counted.length === 2);
  await clock.sleep(150, AbortSignal.timeout(60_000));
  assert.equal(writes(scene.server).length, 2);
});

test("a pod whose end is shown before the API's answer is not remembered", async () => {
  await using scene = await createScene("delete");
  scene.server.fault({ verb: "delete" }, { kind: "latency", delayMs: 200 }, 1);
  const pod = scene.putPod("web-0");
  scene.start();
  await scene.until(() => writes(scene.server).length === 1);
  scene.show("delete", pod);
  await scene.until(() => scene.counted.length === 1);
  scene.show("add", pod);
  await scene.until(() => writes(scene.server).length === 2);
});
