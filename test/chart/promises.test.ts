// What the hardened image's guide promises its readers of a deployment, seen on what the chart renders (docs/promises.md).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type JsonObject, readPath, readText } from "../../testbed/api-server/kube-object.ts";
import { pick, renderObjects } from "../../testbed/chart/render-chart.ts";

const daemonSet = async (...args: readonly string[]): Promise<JsonObject> =>
  pick(await renderObjects({ args: args.flatMap((pair) => ["--set", pair]) }), "DaemonSet", "istio-cni-node");
const podSpec = (object: JsonObject): unknown => readPath(object, "spec", "template", "spec");
function first(object: JsonObject, ...path: readonly string[]): unknown {
  const containers = readPath(podSpec(object), "containers");
  assert.ok(Array.isArray(containers));
  assert.equal(containers.length, 1);
  return readPath(containers[0], ...path);
}

describe("the chart", () => {
  test("runs one container on every Linux node, tainted or not, as istio-cni-node (P5, P7, P25)", async () => {
    const object = await daemonSet();
    assert.equal(first(object, "name"), "install-cni");
    assert.deepEqual(readPath(podSpec(object), "nodeSelector"), { "kubernetes.io/os": "linux" });
    const tolerations = JSON.stringify(readPath(podSpec(object), "tolerations"));
    for (const effect of ["NoSchedule", "NoExecute"])
      assert.ok(tolerations.includes(`{"effect":"${effect}","operator":"Exists"}`), tolerations);
    assert.equal(readText(object, "spec", "selector", "matchLabels", "k8s-app"), "istio-cni-node");
  });

  test("takes the tag that the guide's helm command gives beside an image (P15)", async () => {
    const guide = ["cni.image=dhi.io/istio-install-cni", "cni.tag=1.30-debian13", "global.imagePullSecrets[0]=key"];
    assert.equal(first(await daemonSet(...guide), "image"), "dhi.io/istio-install-cni:1.30-debian13");
  });

  test("takes an image as it is that has a tag or a digest (P13, P15)", async () => {
    for (const image of ["dhi.io/istio-install-cni:1.30", "localhost:5000/a/b:c", "a/b@sha256:0123"])
      assert.equal(first(await daemonSet(`cni.image=${image}`, "cni.tag=other"), "image"), image);
    assert.equal(first(await daemonSet("image=localhost:5000/a/b", "tag=c"), "image"), "localhost:5000/a/b:c");
  });

  test("changes only the host's side for another plugin and configuration folder (P8, P29)", async () => {
    const [usual, other] = [await daemonSet(), await daemonSet("cni.cniBinDir=/a", "cni.cniConfDir=/b")];
    assert.deepEqual(first(other, "volumeMounts"), first(usual, "volumeMounts"));
    const paths = JSON.stringify(readPath(podSpec(other), "volumes"));
    assert.match(paths, /"path":"\/a"/);
    assert.match(paths, /"path":"\/b"/);
  });

  test("binds its rights by the names that people look for (P33)", async () => {
    const objects = await renderObjects();
    assert.equal(readText(pick(objects, "ClusterRoleBinding", "istio-cni"), "roleRef", "name"), "istio-cni");
  });

  test("listens on no privileged port (P37)", async () => {
    const ports = JSON.stringify([first(await daemonSet(), "ports"), first(await daemonSet(), "readinessProbe")]);
    const numbers = [...ports.matchAll(/"(?:containerPort|port)":(\d+)/g)].map(([, port]) => Number(port));
    assert.deepEqual(numbers.toSorted(), [15014, 8000]);
    assert.ok(numbers.every((port) => port >= 1025));
  });
});
