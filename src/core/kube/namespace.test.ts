import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNamespace } from "./namespace.ts";

test("parseNamespace() reads the labels of a PartialObjectMetadata, and no annotations", () => {
  const namespace = parseNamespace({
    apiVersion: "meta.k8s.io/v1",
    kind: "PartialObjectMetadata",
    metadata: {
      name: "shop",
      uid: "u-1",
      resourceVersion: "9",
      labels: { "istio.io/dataplane-mode": "ambient" },
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", team: "a" },
    },
  });
  assert.deepEqual(JSON.parse(JSON.stringify(namespace)), {
    name: "shop",
    uid: "u-1",
    resourceVersion: "9",
    labels: { "istio.io/dataplane-mode": "ambient" },
  });
});

test("parseNamespace() refuses an object without a name", () => {
  assert.throws(
    () => parseNamespace({ metadata: { uid: "u", resourceVersion: "1" } }),
    /Cannot read Namespace: metadata.name is required/,
  );
});
