// That the fixtures stay what policy tests take them for.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { type KubeObject, readPath, readText } from "./kube-object.ts";
import {
  ambientPod,
  finishedJobPod,
  gatewayPod,
  hostNetworkPod,
  istioInitPod,
  plainPod,
  sidecarPod,
} from "./pod-fixtures.ts";

const containers = (pod: KubeObject, field: "containers" | "initContainers"): string => {
  const list = readPath(pod, "spec", field);
  return Array.isArray(list) ? list.map((container) => readText(container, "name")).join(" ") : "";
};
const statusOf = (pod: KubeObject): string => readText(pod, "metadata", "annotations", "sidecar.istio.io/status");

test("sidecar pods carry what istiod injects", () => {
  const pods = [sidecarPod(), sidecarPod({ native: true }), istioInitPod(), sidecarPod({ interceptionMode: "NONE" })];
  deepEqual(
    pods.map((pod) => [containers(pod, "initContainers"), containers(pod, "containers")]),
    [
      ["istio-validation", "web istio-proxy"],
      ["istio-validation istio-proxy", "web"],
      ["istio-init", "web istio-proxy"],
      ["", "web istio-proxy"],
    ],
  );
  for (const pod of pods) ok(statusOf(pod).includes('"revision":"default"'));
  ok(
    pods.every((pod) => JSON.stringify(pod).length > 8_000),
    "they are as long as real ones",
  );
});

test("pods outside the mesh carry none of it", () => {
  for (const pod of [plainPod(), finishedJobPod(), ambientPod()]) {
    equal(containers(pod, "containers").includes("istio-proxy"), false);
    equal(statusOf(pod), "");
  }
  equal(containers(gatewayPod(), "containers"), "istio-proxy");
  equal(readPath(hostNetworkPod(), "spec", "hostNetwork"), true);
  equal(readPath(finishedJobPod(), "status", "phase"), "Succeeded");
  equal(readText(ambientPod({ captured: true }), "metadata", "annotations", "ambient.istio.io/redirection"), "enabled");
});

test("options win over what a kind of pod has", () => {
  const pod = sidecarPod({
    ...{ name: "n", namespace: "s", uid: "u", nodeName: "", podIps: ["10.0.0.1", "fd00::1"], phase: "Pending" },
    annotations: { "sidecar.istio.io/interceptionMode": "TPROXY" },
    labels: { app: "other" },
  });
  deepEqual(
    [pod.metadata.name, pod.metadata.namespace, pod.metadata.uid, pod.metadata.labels?.["app"]],
    ["n", "s", "u", "other"],
  );
  equal(pod.metadata.annotations?.["sidecar.istio.io/interceptionMode"], "TPROXY");
  deepEqual(readPath(pod, "status", "podIPs"), [{ ip: "10.0.0.1" }, { ip: "fd00::1" }]);
  equal(readPath(pod, "spec", "nodeName"), undefined);
});
