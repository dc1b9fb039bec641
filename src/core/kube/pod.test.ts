import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeObjectError } from "./object-fields.ts";
import { keepsAnnotation, parsePod } from "./pod.ts";

function podJson(overrides: { metadata?: object; spec?: object; status?: object } = {}): unknown {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-0", namespace: "shop", uid: "u-1", resourceVersion: "7", ...overrides.metadata },
    spec: { containers: [{ name: "app" }], ...overrides.spec },
    status: { phase: "Running", ...overrides.status },
  };
}

function plain(record: object): unknown {
  return JSON.parse(JSON.stringify(record));
}

function lookUp(record: Readonly<Record<string, string | undefined>>, key: string): string | undefined {
  return record[key];
}

test("parsePod() reads the fields that decisions need", () => {
  const pod = parsePod(
    podJson({
      metadata: {
        creationTimestamp: "2026-01-02T03:04:05Z",
        deletionTimestamp: "2026-01-02T04:04:05Z",
        labels: { app: "web" },
        annotations: { "sidecar.istio.io/status": "{}" },
      },
      spec: {
        nodeName: "node-1",
        hostNetwork: true,
        hostUsers: false,
        serviceAccountName: "web",
        restartPolicy: "Never",
        runtimeClassName: "gvisor",
        securityContext: { runAsUser: 1000, runAsGroup: 2000 },
        containers: [
          {
            name: "istio-proxy",
            args: ["proxy", "sidecar"],
            env: [
              { name: "ISTIO_DUAL_STACK", value: "true" },
              { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
              { name: "EMPTY" },
            ],
            securityContext: { runAsUser: 1337, runAsGroup: 1338 },
          },
          { name: "app", args: ["secret"], env: [{ name: "PASSWORD", value: "x" }] },
        ],
        initContainers: [{ name: "istio-validation", restartPolicy: "Always" }],
      },
      status: {
        podIP: "10.0.0.1",
        podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }],
        initContainerStatuses: [
          {
            name: "istio-validation",
            restartCount: 2,
            state: { waiting: { reason: "CrashLoopBackOff" } },
            lastState: { terminated: { reason: "Error", exitCode: 126, message: "no rules" } },
          },
        ],
      },
    }),
  );
  assert.deepEqual(plain(pod), {
    uid: "u-1",
    namespace: "shop",
    name: "web-0",
    resourceVersion: "7",
    creationTimestamp: "2026-01-02T03:04:05Z",
    deletionTimestamp: "2026-01-02T04:04:05Z",
    labels: { app: "web" },
    annotations: { "sidecar.istio.io/status": "{}" },
    nodeName: "node-1",
    hostNetwork: true,
    hostUsers: false,
    serviceAccountName: "web",
    restartPolicy: "Never",
    runtimeClassName: "gvisor",
    runAsUser: 1000,
    runAsGroup: 2000,
    containers: [
      {
        name: "istio-proxy",
        args: ["proxy", "sidecar"],
        env: { ISTIO_DUAL_STACK: "true", EMPTY: "" },
        runAsUser: 1337,
        runAsGroup: 1338,
      },
      { name: "app", args: [], env: {} },
    ],
    initContainers: [{ name: "istio-validation", args: [], env: {}, restartPolicy: "Always" }],
    phase: "Running",
    podIps: ["10.0.0.1", "fd00::1"],
    initContainerStatuses: [
      {
        name: "istio-validation",
        restartCount: 2,
        lastState: { reason: "Error", exitCode: 126, message: "no rules" },
      },
    ],
  });
  const env = pod.containers[0]?.env ?? {};
  assert.ok("POD_NAME" in env && lookUp(env, "POD_NAME") === undefined, "a reference is known by name, not by value");
});

test("parsePod() takes the last of two variables with one name", () => {
  const env = [
    { name: "A", value: "1" },
    { name: "A", value: "2" },
  ];
  const pod = parsePod(podJson({ spec: { containers: [{ name: "istio-proxy", env }] } }));
  assert.equal(lookUp(pod.containers[0]?.env ?? {}, "A"), "2");
});

test("parsePod() reads null as absent, as the API's own decoder does", () => {
  const pod = parsePod(
    podJson({ metadata: { labels: null, annotations: null }, spec: { containers: null }, status: { podIPs: null } }),
  );
  assert.deepEqual(plain(pod.labels), {});
  assert.deepEqual(pod.containers, []);
  assert.deepEqual(pod.podIps, []);
});

test("parsePod() falls back to status.podIP when the list is not there", () => {
  assert.deepEqual(parsePod(podJson({ status: { podIP: "10.0.0.9" } })).podIps, ["10.0.0.9"]);
});

test("parsePod() finds no label or variable that is only in Object's prototype", () => {
  const pod = parsePod(
    JSON.parse(`{"metadata":{"name":"a","namespace":"b","uid":"c","resourceVersion":"1",
    "labels":{"__proto__":"x","a":"b"}},"spec":{"containers":[{"name":"istio-proxy","env":[{"name":"__proto__","value":"v"}]}]}}`),
  );
  assert.equal(lookUp(pod.labels, "constructor"), undefined);
  assert.equal(lookUp(pod.labels, "__proto__"), "x");
  assert.equal(lookUp(pod.containers[0]?.env ?? {}, "toString"), undefined);
  assert.equal(lookUp(pod.containers[0]?.env ?? {}, "__proto__"), "v");
  assert.equal(lookUp(pod.annotations, "constructor"), undefined);
});

test("parsePod() leaves out bulk annotations and keeps every one of Istio's", () => {
  const big = "x".repeat(5000);
  assert.equal(keepsAnnotation("kubectl.kubernetes.io/last-applied-configuration", "{}"), false);
  assert.equal(keepsAnnotation("vendor.example/network-status", big), false);
  assert.equal(keepsAnnotation("vendor.example/network-status", "small"), true);
  assert.equal(keepsAnnotation("sidecar.istio.io/status", big), true);
  assert.equal(keepsAnnotation("istio.io/rev", big), true);
  assert.equal(keepsAnnotation("kubernetes.io/config.hash", big), true);
  assert.equal(keepsAnnotation("notistio.io/x", big), false);
});

const refused: readonly (readonly [what: string, value: unknown, path: string])[] = [
  ["null", null, ""],
  ["a list", [], ""],
  ["text", "<html>", ""],
  ["an object without metadata", {}, "metadata.uid"],
  ["an empty uid", podJson({ metadata: { uid: "" } }), "metadata.uid"],
  ["a number as name", podJson({ metadata: { name: 7 } }), "metadata.name"],
  ["labels as a list", podJson({ metadata: { labels: [] } }), "metadata.labels"],
  ["a label that is a number", podJson({ metadata: { labels: { a: 1 } } }), 'metadata.labels["a"]'],
  ["hostNetwork as text", podJson({ spec: { hostNetwork: "true" } }), "spec.hostNetwork"],
  ["containers as an object", podJson({ spec: { containers: {} } }), "spec.containers"],
  ["a container without name", podJson({ spec: { containers: [{}] } }), "spec.containers[0].name"],
  [
    "an argument that is a number",
    podJson({ spec: { containers: [{ name: "istio-x", args: [1] }] } }),
    "spec.containers[0].args[0]",
  ],
  ["a fractional uid", podJson({ spec: { securityContext: { runAsUser: 1.5 } } }), "spec.securityContext.runAsUser"],
  ["an address that is not an object", podJson({ status: { podIPs: ["10.0.0.1"] } }), "status.podIPs[0]"],
];

for (const [what, value, path] of refused) {
  test(`parsePod() refuses ${what} and names the field`, () => {
    assert.throws(
      () => parsePod(value),
      (error) =>
        error instanceof KubeObjectError && error.path === path && error.message.startsWith("Cannot read Pod: "),
    );
  });
}
