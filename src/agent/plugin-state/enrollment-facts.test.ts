import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIpAddress } from "../../core/address.ts";
import { type Pod, parsePod } from "../../core/kube/pod.ts";
import type { AmbientSettings } from "../../core/policy/ambient-decision.ts";
import { DEFAULT_ENABLEMENT_SELECTORS, parseEnablementSelectors } from "../../core/policy/enablement-selectors.ts";
import { runEnrollmentFacts } from "./enrollment-facts.ts";

const MODE = "istio.io/dataplane-mode";
const AMBIENT = { [MODE]: "ambient" };
const ip = (text: string) => parseIpAddress(text) ?? assert.fail(text);

const SETTINGS: AmbientSettings = {
  selectors: DEFAULT_ENABLEMENT_SELECTORS,
  excludedNamespaces: ["kube-system"],
  agentNamespace: "istio-system",
  systemNamespace: "istio-system",
  dnsCapture: false,
  probeSource: { v4: ip("169.254.7.127"), v6: ip("fd00::1") },
};

function podIn(namespace: string, labels: Record<string, string>, more: { spec?: object; phase?: string } = {}): Pod {
  return parsePod({
    metadata: { uid: `u-${namespace}`, name: "web", namespace, resourceVersion: "1", labels },
    spec: more.spec,
    status: { phase: more.phase ?? "Running" },
  });
}

/** A set of listeners, as the stores have. */
function createListeners<T>() {
  const listeners = new Set<(event: T) => void>();
  return {
    tell: (event: T) => {
      for (const listener of listeners) listener(event);
    },
    count: () => listeners.size,
    subscribe: (listener: (event: T) => void) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}

/** The service between stores in memory and a file that remembers as the real one does. */
function start(settings: AmbientSettings = SETTINGS) {
  const namespaces = new Map<string, Record<string, string>>();
  const pods: Pod[] = [];
  const namespaceEvents = createListeners<void>();
  const podEvents = createListeners<{ pod: Pod }>();
  const synced = Promise.withResolvers<void>();
  const ending = new AbortController();
  const byPod = new Set<string>();
  let enrolling: readonly string[] | undefined;
  let tellings = 0;
  const running = runEnrollmentFacts(
    {
      namespaces: {
        list: () => [...namespaces].map(([name, labels]) => ({ name, labels })),
        subscribe: namespaceEvents.subscribe,
        waitSynced: (signal) =>
          Promise.race([
            synced.promise,
            new Promise<void>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
          ]),
      },
      pods: { list: () => pods, subscribe: podEvents.subscribe },
      state: {
        setNamespaces(all, names) {
          tellings += 1;
          const existing = new Set(all);
          for (const name of byPod) if (!existing.has(name)) byPod.delete(name);
          enrolling = [...names];
        },
        notePodEnrolled: (name) => void byPod.add(name),
      },
      clock: { nowMs: () => 0, sleep: () => new Promise((resolve) => setImmediate(resolve)) },
    },
    { settings, gatherMs: 50 },
    ending.signal,
  );
  return {
    synced: synced.resolve,
    setNamespace(name: string, labels?: Record<string, string>) {
      if (labels === undefined) namespaces.delete(name);
      else namespaces.set(name, labels);
      namespaceEvents.tell();
    },
    setPod(pod: Pod) {
      pods.push(pod);
      podEvents.tell({ pod });
    },
    /** When everything that was told has been worked off. */
    async told() {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      return { enrolling, byPod: [...byPod] };
    },
    times: () => tellings,
    async end() {
      ending.abort(new Error("over"));
      await running;
      return namespaceEvents.count() + podEvents.count();
    },
  };
}

test("nothing is said of namespaces before all of them were seen", async () => {
  const rig = start();
  rig.setNamespace("shop", AMBIENT);
  rig.setPod(podIn("lab", AMBIENT));
  assert.deepEqual(await rig.told(), { enrolling: undefined, byPod: ["lab"] });
  rig.setNamespace("lab", {});
  rig.synced();
  assert.deepEqual(await rig.told(), { enrolling: ["shop"], byPod: ["lab"] });
  assert.equal(await rig.end(), 0);
});

test("labels that come and go are followed, and many changes at once are told together", async () => {
  const rig = start();
  rig.synced();
  for (let index = 0; index < 200; index++) rig.setNamespace(`n${index}`, index === 7 ? AMBIENT : {});
  assert.deepEqual((await rig.told()).enrolling, ["n7"]);
  assert.ok(rig.times() <= 3, `${rig.times()}`);
  rig.setNamespace("n7", { [MODE]: "none" });
  rig.setNamespace("n8", AMBIENT);
  assert.deepEqual((await rig.told()).enrolling, ["n8"]);
  rig.setNamespace("n8");
  assert.deepEqual((await rig.told()).enrolling, []);
  await rig.end();
});

test("a pod tells of its namespace when only its own label enrolls it", async () => {
  const rig = start();
  rig.synced();
  for (const name of ["a", "b", "c", "d", "e", "f", "kube-system"]) rig.setNamespace(name, {});
  rig.setPod(podIn("a", AMBIENT));
  rig.setPod(podIn("b", {}));
  rig.setPod(podIn("c", { [MODE]: "none" }));
  rig.setPod(podIn("d", AMBIENT, { spec: { hostNetwork: true } }));
  rig.setPod(podIn("e", AMBIENT, { phase: "Succeeded" }));
  rig.setPod(podIn("kube-system", AMBIENT));
  assert.deepEqual((await rig.told()).byPod, ["a", "e"]);
  await rig.end();
});

test("a pod that was known before its namespace is not forgotten with it", async () => {
  const rig = start();
  rig.synced();
  rig.setPod(podIn("new", AMBIENT));
  rig.setNamespace("other", {});
  assert.deepEqual((await rig.told()).byPod, ["new"]);
  rig.setNamespace("new", {});
  assert.deepEqual((await rig.told()).byPod, ["new"]);
  await rig.end();
});

test("selectors that take pods without labels make every namespace one that enrolls", async () => {
  const rig = start({ ...SETTINGS, selectors: parseEnablementSelectors("- {}") });
  rig.synced();
  rig.setNamespace("a", {});
  rig.setNamespace("b", {});
  rig.setPod(podIn("a", AMBIENT));
  assert.deepEqual(await rig.told(), { enrolling: ["a", "b"], byPod: [] });
  await rig.end();
});

test("it ends before anything was seen", async () => {
  const rig = start();
  assert.equal(await rig.end(), 0);
  assert.equal(rig.times(), 0);
});
