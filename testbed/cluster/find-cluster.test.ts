import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { findCluster, OWN_LAB } from "./find-cluster.ts";

const folder = mkdtempSync(join(tmpdir(), "find-cluster-"));
const [kubeconfig, lab] = [join(folder, "config"), join(folder, "lab")];
mkdirSync(lab);
for (const path of [kubeconfig, join(folder, "kubectl"), join(folder, "go"), join(lab, "setup"), join(lab, "lab")])
  writeFileSync(path, "");
after(() => rmSync(folder, { recursive: true }));

function reason(env: Record<string, string>): string {
  const source = findCluster(env);
  return source.kind === "none" ? source.reason : `found ${source.kind}`;
}

test("findCluster() prefers the cluster of KUBECONFIG", () => {
  const env = { KUBECONFIG: kubeconfig, CLUSTER_LOAD_IMAGE: "kind load  image-archive", PATH: folder, SHARED_LAB: lab };
  assert.deepEqual(findCluster(env), { kind: "given", kubeconfig, loadImage: ["kind", "load", "image-archive"] });
});

test("findCluster() takes the lab that SHARED_LAB names", () => {
  assert.deepEqual(findCluster({ SHARED_LAB: lab }), { kind: "lab", folder: lab });
});

test("findCluster() has a cluster built where that is asked for and Go is there", () => {
  assert.match(reason({ BUILD_CLUSTER: "1", PATH: join(folder, "lost") }), /no go on the PATH/);
  assert.deepEqual(findCluster({ BUILD_CLUSTER: "1", PATH: folder }), { kind: "lab", folder: OWN_LAB });
  assert.deepEqual(findCluster({ BUILD_CLUSTER: "1", SHARED_LAB: lab }), { kind: "lab", folder: lab });
});

test("findCluster() says what is missing of a given cluster, and does not fall back", () => {
  const lost = join(folder, "lost");
  assert.match(reason({ KUBECONFIG: lost, SHARED_LAB: lab }), /KUBECONFIG names .*lost, which does not exist/);
  assert.match(reason({ KUBECONFIG: kubeconfig, PATH: lost, SHARED_LAB: lab }), /no kubectl on the PATH/);
  assert.match(
    reason({ KUBECONFIG: kubeconfig, PATH: folder }),
    /CLUSTER_LOAD_IMAGE is not: .*kind load image-archive/,
  );
});

test("findCluster() says how to provide a cluster where there is none", () => {
  const missing = join(folder, "no-lab");
  const text = reason({ SHARED_LAB: missing });
  assert.match(text, /^Cannot run the cluster tier: /);
  for (const part of [missing, "SHARED_LAB names", "KUBECONFIG is not set", "README.md"])
    assert.ok(text.includes(part), `${part} in: ${text}`);
});
