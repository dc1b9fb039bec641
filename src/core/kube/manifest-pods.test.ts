import assert from "node:assert/strict";
import { test } from "node:test";
import { readManifestPods } from "./manifest-pods.ts";
import { parseManifestText } from "./manifest-yaml.ts";
import { KubeObjectError } from "./object-fields.ts";

const read = (text: string, namespace = "default") => readManifestPods(parseManifestText(text), namespace);

const TEMPLATE = `metadata: {labels: {app: web}, annotations: {a: "1"}}
spec: {hostNetwork: true, hostUsers: false, containers: [{name: istio-proxy, args: [proxy, sidecar],
  env: [{name: A, value: "1"}, {name: B, valueFrom: {fieldRef: {fieldPath: x}}}], securityContext: {runAsUser: 1337}}]}`;

const indented = (by: number): string => TEMPLATE.replaceAll(/^/gm, " ".repeat(by));

test("readManifestPods() finds the pod of everything that has a template", () => {
  for (const kind of ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"]) {
    const { pods } = read(`kind: ${kind}\nmetadata: {name: web, namespace: shop}\nspec:\n  template:\n${indented(4)}`);
    assert.equal(pods.length, 1, kind);
    assert.partialDeepStrictEqual(pods[0], { kind, name: "web", namespace: "shop" });
    assert.partialDeepStrictEqual(pods[0]?.pod, {
      name: "web-xxxxx",
      namespace: "shop",
      hostNetwork: true,
      hostUsers: false,
      labels: { app: "web" },
      annotations: { a: "1" },
    });
    const [proxy] = pods[0]?.pod.containers ?? [];
    assert.deepEqual(
      [proxy?.args, proxy?.runAsUser, proxy?.env["A"], proxy?.env["B"]],
      [["proxy", "sidecar"], 1337, "1", undefined],
    );
  }
  const cron = read(
    `kind: CronJob\nmetadata: {name: j}\nspec:\n  jobTemplate:\n    spec:\n      template:\n${indented(8)}`,
    "n",
  );
  assert.partialDeepStrictEqual(cron.pods[0], { kind: "CronJob", namespace: "n" });
});

test("readManifestPods() goes into lists, keeps the labels of namespaces, and names what has no pod", () => {
  const { pods, namespaces, others } = read(`kind: List
items:
- {kind: Pod, metadata: {generateName: web-}, spec: {containers: []}}
- {kind: Service, metadata: {name: web}}
- {kind: PodList, items: [{kind: Pod, metadata: {name: b}, spec: {}, status: {podIP: 10.0.0.1, phase: Succeeded}}]}
- {kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}}
`);
  assert.deepEqual(
    pods.map(({ pod }) => [pod.name, pod.podIps, pod.phase]),
    [
      ["web-xxxxx", [], ""],
      ["b", ["10.0.0.1"], ""],
    ],
  );
  assert.deepEqual([...namespaces], [["shop", { "istio.io/dataplane-mode": "ambient" }]]);
  assert.deepEqual(others, ["Service web"]);
});

test("readManifestPods() refuses objects that are not what their kind says, with the field", () => {
  for (const [text, message] of [
    ["- a", /the object must be an object/],
    ["kind: [Pod]", /kind must be a string/],
    ["{kind: Pod, metadata: x}", /metadata must be an object/],
    ["{kind: Deployment, metadata: {name: web}, spec: {}}", /spec\.template is missing/],
    ["{kind: Pod, metadata: {name: a}, spec: {hostNetwork: maybe}}", /spec\.hostNetwork must be a boolean/],
    [
      "{kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, securityContext: {runAsUser: x}}]}}",
      /runAsUser must be an integer/,
    ],
    ["{kind: Pod, metadata: {name: a, labels: {a: [b]}}, spec: {}}", /labels\["a"\] must be a string/],
    ['{"kind":"Pod","metadata":{"name":"a","labels":{"__proto__":[1]}},"spec":{}}', /labels\["__proto__"\]/],
  ] as const) {
    assert.throws(
      () => read(text),
      (error) => error instanceof KubeObjectError && message.test(error.message),
      text,
    );
  }
  assert.throws(() => read(`kind: List\nitems:\n${"- {kind: Service}\n".repeat(2001)}`), /more than 2000 objects/);
});
