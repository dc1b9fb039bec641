// docs/migration.md, install.md, sidecar.md, ambient.md, troubleshooting.md and runbook.md, followed word by word in a real Kubernetes: their shell blocks, one
// after the other, as a reader would paste them. Other are only the values of IMAGE, NEXT and APP, and what needs Istio itself:
// the Deployment that istiod would inject is applied injected, and ztunnel is our stand-in.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { readScript } from "../../docs/code-blocks.ts";
import { readPath } from "../../testbed/api-server/kube-object.ts";
import { findHelm } from "../../testbed/chart/find-helm.ts";
import { AGENT_IMAGE, renderAgentImage } from "../../testbed/cluster/agent-image.ts";
import { type Cluster, createCluster, refuseIstio } from "../../testbed/cluster/create-cluster.ts";
import { renderMeshPod, renderPodImage } from "../../testbed/cluster/mesh-pod.ts";
import { waitZtunnelReady } from "../../testbed/cluster/observe-ambient.ts";
import { AGENT_NAMESPACE, agentLog, waitAgentReady, waitReady } from "../../testbed/cluster/observe-pods.ts";
import { renderUpstreamInstall } from "../../testbed/cluster/upstream-install.ts";
import { applyZtunnel, renderZtunnelImage } from "../../testbed/cluster/ztunnel-daemonset.ts";
import { runCommand } from "../../testbed/node/command.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";

const APP = "localhost/istio-install-cni/pod:test";
const NEXT = AGENT_IMAGE.replace(/:.*/, ":next");
/** The line that a mesh would answer by injecting. */
const INJECTED_LINE = "kubectl -n shop create deployment web --image=$APP";

describe("the documents", () => {
  const folder = mkdtempSync(join(tmpdir(), "documents-"));
  let opened: Cluster | undefined;
  let chain: string | undefined;
  const cluster = (): Cluster => {
    if (opened === undefined) throw new Error("Cannot test: the cluster could not be had");
    return opened;
  };
  const readChain = (): string | undefined =>
    cluster().lab && readFileSync(join(cluster().lab?.nodeDisk ?? "", "etc/cni/net.d/10-lab.conflist"), "utf8");

  before(async () => {
    const helm = await findHelm();
    opened = await createCluster();
    await refuseIstio(opened);
    for (const image of [
      await renderAgentImage(),
      await renderAgentImage(NEXT),
      renderPodImage(),
      renderZtunnelImage(),
    ])
      await opened.loadImage(image);
    chain = readChain();
    const { lab, kubeconfig } = opened;
    // The lab's API server listens in the node's network only.
    const inNode = lab === undefined ? "" : `${lab.script} node sh -c 'cd "$0" && exec "$@"' "$PWD" `;
    const kubectl = lab === undefined ? `kubectl --kubeconfig ${kubeconfig}` : `${lab.script} kubectl`;
    writeProgram("kubectl", `exec ${kubectl} "$@"`);
    const homes = ["CACHE", "CONFIG", "DATA"].map((kind) => `export HELM_${kind}_HOME=/nonexistent`).join("; ");
    writeProgram("helm", `${homes}\nexec ${inNode}${helm} --kubeconfig ${kubeconfig} "$@"`);
  });

  after(async () => {
    rmSync(folder, { recursive: true });
    await opened?.[Symbol.asyncDispose]();
  });

  function writeProgram(name: string, text: string): void {
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(folder, name), 0o755);
  }

  /** Runs the blocks of a document to the first command that fails. Returns what all of them said. */
  async function follow(
    document: string,
    values: Readonly<Record<string, string>> = {},
    change: (script: string) => string = (script) => script,
  ): Promise<string> {
    const markdown = readFileSync(join(REPOSITORY, "docs", document), "utf8");
    const script = change(readScript(markdown, { IMAGE: AGENT_IMAGE, NEXT, APP, ...values }));
    const path = join(folder, `${document}.sh`);
    // What is traced goes where the rest goes, so that a failure shows which command it was.
    writeFileSync(path, `exec 2>&1\nset -euxo pipefail\n${script}`);
    const { status, stdout } = await runCommand(["bash", path], {
      cwd: REPOSITORY,
      timeoutMs: 400_000,
      env: { PATH: `${folder}:${process.env["PATH"] ?? ""}` },
    });
    if (process.env["SHOW_DOCUMENTS"] === "1") console.log(stdout);
    const said = status === 0 ? "" : `${stdout}\n${await agentLog(cluster())}`;
    assert.equal(status, 0, `${document} fails at the last command of:\n${said}`);
    return stdout;
  }

  test("migration.md: the image alone in a DaemonSet of upstream's making, then our chart over what nobody's helm has made", async () => {
    await cluster().apply(renderUpstreamInstall("defaults"));
    await waitAgentReady(cluster());
    const said = await follow("migration.md", { IMAGE: NEXT });
    assert.match(said, new RegExp(`^${RegExp.escape(AGENT_IMAGE)}$`, "m"));
    assert.equal((said.match(/^Agent +ready$/gm) ?? []).length, 2);
    assert.match(said, /STATUS: deployed/);
    assert.match(said, /clusterrolebinding\.rbac\.authorization\.k8s\.io "istio-cni-repair-rolebinding" deleted/);
    const before = await runCommand([join(folder, "helm"), "-n", AGENT_NAMESPACE, "uninstall", "istio-cni"], {
      timeoutMs: 120_000,
    });
    assert.equal(before.status, 0, before.stderr);
    assert.equal(readChain(), chain, "the node's chain is not what it was");
  });

  test("install.md: manifests and away again, then the chart, which is well", async () => {
    const said = await follow("install.md");
    assert.match(said, /daemonset\.apps "istio-cni-node" deleted/);
    assert.match(said, /clusterrole\.rbac\.authorization\.k8s\.io "istio-cni" deleted/);
    assert.doesNotMatch(said, /namespace "istio-system" deleted/);
    assert.match(said, /TEST SUITE: +istio-cni-test\n(?:.*\n)*?Phase: +Succeeded/);
    assert.match(said, /^istio-cni-node-\w+ +1\/1 +Running/m);
    assert.match(said, /^Agent +ready$/m);
    assert.match(said, /sidecar mode, install-cni \S+: \d+ checks/);
  });

  test("sidecar.md: a pod is captured, told of, left out in part, and outlives its agent", async () => {
    const { metadata, spec } = renderMeshPod({ name: "web", namespace: "shop" });
    const template = {
      metadata: { labels: readPath(metadata, "labels"), annotations: readPath(metadata, "annotations") },
      spec,
    };
    const selector = { matchLabels: { app: "web" } };
    const injected = join(folder, "injected.json");
    const deployment = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web", namespace: "shop" } };
    writeFileSync(injected, JSON.stringify({ ...deployment, spec: { selector, template } }));
    const said = await follow("sidecar.md", {}, (script) => {
      assert.ok(script.includes(INJECTED_LINE), "the line to be injected is not there");
      return script.replace(INJECTED_LINE, `kubectl apply -f ${injected}`);
    });
    assert.match(said, /Init Containers:\n +istio-validation:/);
    assert.match(said, /^shop +web-\S+ +in +sidecar +verified/m);
    assert.match(said, /-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN/);
    assert.equal((said.match(/^Verdict +redirected to 15001$/gm) ?? []).length, 1);
    assert.equal((said.match(/^Verdict +redirected to 15006$/gm) ?? []).length, 1);
    assert.equal((said.match(/^ends with 1: 1 it passes by$/gm) ?? []).length, 2);
    assert.match(said, /difference +none: all that should be there is there/);
  });

  test("ambient.md: pods start inside, come in while they run, and leave", async () => {
    await applyZtunnel(cluster());
    const said = await follow("ambient.md");
    await waitZtunnelReady(cluster());
    assert.match(said, /\tinfo\tcni-agent\t.*ambient/);
    assert.match(said, /^inside-\S+ +enabled$/m);
    assert.match(said, /^cafe\/inside-\S+ is in the mesh/m);
    assert.match(said, /^Verdict +redirected to 15001$/m);
    assert.match(said, /^Probes /m);
    assert.match(said, /^pod\/walker-\S+ condition met$/m);
    assert.match(said, /AmbientEnrolled +pod\/walker-/);
  });

  test("troubleshooting.md: every command is one that can be typed, and says something", async () => {
    await cluster().createNamespace("shop");
    await cluster().apply([renderMeshPod({ name: "web", namespace: "shop" })]);
    await waitReady(cluster(), [{ name: "web", namespace: "shop" }]);
    // On a healthy node some end with another status than 0: none of them may end the script, and no other one may do so.
    const said = await follow(
      "troubleshooting.md",
      {},
      (script) => `set +e\ntrap 'echo "ended with $?: $BASH_COMMAND"' ERR\n${script}`,
    );
    const ended = [...said.matchAll(/^ended with (\d+): (.*)$/gm)].map(
      ([, status, command = ""]) => `${status} ${command}`,
    );
    assert.deepEqual(
      ended.map((each) => each.replace(/^(\d+) kubectl -n istio-system (?:exec \S+ -- )?/, "$1 ")),
      ["1 logs ds/istio-cni-node --previous --tail=20", "1 install-cni trace shop/web --to 10.96.0.10:53 --udp"],
    );
    assert.doesNotMatch(said, /unknown (?:command|flag|shorthand)/);
    assert.match(said, /^shop\/web is in the mesh/m);
    assert.match(said, /checks, all good/);
    assert.match(said, /ClusterRole\/istio-cni/);
    assert.match(said, /^istio-cni is removed from this node$/m);
  });

  test("runbook.md: a canary, the rest, a rollback, one node left and taken back, and the cluster left", async () => {
    const said = await follow("runbook.md");
    assert.match(said, new RegExp(`${RegExp.escape(NEXT)} +true`));
    assert.match(said, /Rollback was a success/);
    assert.match(said, /release "istio-cni" uninstalled/);
    const { status, stderr } = await cluster().tryKubectl(["-n", AGENT_NAMESPACE, "get", "ds", "istio-cni-node"]);
    assert.notEqual(status, 0);
    assert.match(stderr, /not found/);
    assert.equal(readChain(), chain, "the node's chain is not what it was");
  });
});
