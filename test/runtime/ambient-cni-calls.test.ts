// The installed plugin called directly on an ambient node, as a runtime calls it or should not call it (the same calls that
// were measured of upstream; docs/differences.md), and what the agent's end and a power cut leave of such a node.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { KubeObject } from "../../testbed/api-server/kube-object.ts";
import { plainPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { mustRun } from "../../testbed/node/command.ts";
import { CriError } from "../../testbed/node/cri-error.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { NEW_POD, podSpecOf } from "../../testbed/node/mesh-node.ts";
import { callInstalledPlugin, type PluginInput, readPluginInput } from "../../testbed/node/plugin-run.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { probe, startApplication } from "../../testbed/sidecar/sidecar.ts";
import type { ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import {
  type AmbientNode,
  ambientTraces,
  createAmbientNode,
  IN_MESH,
  isRedirected,
  servedBy,
  until,
  untilIn,
} from "./ambient-node.ts";
import { errorOf, HOST_FOLDERS, readFiles } from "./plugin-calls.ts";

enterNodeNamespaces();

const LINK = "/run/testbed/netns-by-another-name";
const RUN_DIR = "/run/istio-cni";

/** A sandbox whose pod the API does not have, the pod of the mesh that it is said to be of, and how the runtime calls. */
interface Sandbox {
  readonly pod: TestPod;
  readonly object: KubeObject;
  readonly variables: Readonly<Record<string, string>>;
  readonly netconf: PluginInput["netconf"];
}

describe("the installed plugin on an ambient node", () => {
  let node: AmbientNode;
  let ztunnel: ZtunnelProcess;
  let agent: TestAgent;
  let calls = 0;
  before(async () => {
    node = await createAmbientNode("v4");
    ztunnel = await node.startZtunnel();
    agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "5s" } });
  });
  after(() => node[Symbol.asyncDispose]());

  /** The plugin has let the sandbox pass untouched, as one of an excluded namespace. */
  async function freshSandbox(namespace = "mesh"): Promise<Sandbox> {
    calls += 1;
    const pod = await node.mesh.node.runPod({ name: `sandbox-${calls}`, namespace: "kube-system" });
    const { netconf, args } = readPluginInput(node.mesh.node, pod);
    const object = node.mesh.api.put(plainPod({ ...NEW_POD, namespace, name: `by-hand-${calls}`, labels: IN_MESH }));
    const { name, uid = "" } = object.metadata;
    const variables = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: `by-hand-${calls}`,
      CNI_NETNS: pod.netnsPath,
      CNI_IFNAME: "eth0",
      CNI_PATH: node.mesh.node.cniBinDir,
      CNI_ARGS: args.replace("=kube-system", `=${namespace}`).replace(`=${pod.name}`, `=${name}`).replace(pod.uid, uid),
    };
    return { pod, object, variables, netconf };
  }

  const call = (variables: Readonly<Record<string, string>>, stdin: string | object) =>
    callInstalledPlugin(node.mesh.node, variables, typeof stdin === "string" ? stdin : JSON.stringify(stdin));

  async function assertEnrolled({ pod, object }: Sandbox): Promise<void> {
    assert.ok(await isRedirected(pod), pod.name);
    await until("ztunnel says that it has it", () => servedBy(ztunnel).has(`mesh/${object.metadata.name}`));
  }

  async function assertUntouched({ pod, object }: Sandbox): Promise<void> {
    assert.deepEqual(await ambientTraces(pod), []);
    assert.ok(!ztunnel.events().some(({ pod: told }) => told === `mesh/${object.metadata.name}`));
  }

  test("enrolls without a PATH, prints prevResult byte for byte, and again changes nothing, in no dialect", async () => {
    const sandbox = await freshSandbox();
    const result = '{ "dns": {}, "cniVersion":"1.0.0","ips":[],"odd":1e+02 }';
    const { prevResult: _prevResult, ...netconf } = sandbox.netconf;
    const stdin = `{"prevResult":${result},${JSON.stringify(netconf).slice(1)}`;
    const answer = await call(sandbox.variables, stdin);
    assert.deepEqual([answer.status, answer.stdout], [0, result], answer.stderr);
    await assertEnrolled(sandbox);
    const held = await ambientTraces(sandbox.pod);
    assert.equal((await call(sandbox.variables, stdin)).status, 0);
    assert.deepEqual(await ambientTraces(sandbox.pod), held);
    assert.doesNotMatch((await sandbox.pod.exec(["iptables-legacy-save"])).stdout, /^-A/m);
  });

  test("enrolls without prevResult, by the addresses of the namespace", async () => {
    const sandbox = await freshSandbox();
    const { prevResult: _prevResult, ...netconf } = sandbox.netconf;
    const answer = await call(sandbox.variables, netconf);
    assert.deepEqual([answer.status, answer.stdout], [0, '{"cniVersion":"1.0.0"}\n'], answer.stderr);
    await assertEnrolled(sandbox);
  });

  test("enrolls in a namespace under whatever path the runtime gives (surprise 11)", async () => {
    const paths = [
      (path: string) => join("/run/netns", basename(path)),
      (path: string) => join("/var/run/netns", basename(path)),
      (path: string) => {
        symlinkSync(path, LINK);
        return LINK;
      },
    ];
    for (const spell of paths) {
      const sandbox = await freshSandbox();
      const answer = await call({ ...sandbox.variables, CNI_NETNS: spell(sandbox.pod.netnsPath) }, sandbox.netconf);
      rmSync(LINK, { force: true });
      assert.equal(answer.status, 0, answer.stdout);
      await assertEnrolled(sandbox);
    }
  });

  test("refuses a namespace that is not there with code 8 and its path", async () => {
    const sandbox = await freshSandbox();
    const error = errorOf(await call({ ...sandbox.variables, CNI_NETNS: "/run/netns/not-there" }, sandbox.netconf));
    assert.deepEqual([error.code, error.msg.includes("/run/netns/not-there")], [8, true], error.msg);
    await assertUntouched(sandbox);
  });

  test("refuses a UID that is not that of the pod of this name with code 11, and tells ztunnel of neither (D22)", async () => {
    const sandbox = await freshSandbox();
    const { uid = "" } = sandbox.object.metadata;
    const CNI_ARGS = sandbox.variables["CNI_ARGS"]?.replace(uid, "0f0f0f0f-0000-4000-8000-000000000000") ?? "";
    const error = errorOf(await call({ ...sandbox.variables, CNI_ARGS }, sandbox.netconf));
    assert.equal(error.code, 11);
    assert.match(error.msg, new RegExp(`its name belongs to another pod \\(uid ${uid}\\)`));
    await assertUntouched(sandbox);
  });

  test("refuses a pod that the API does not have with code 11 and a sentence", async () => {
    const sandbox = await freshSandbox();
    // Never there: one that has just been removed may still be known.
    const CNI_ARGS = sandbox.variables["CNI_ARGS"]?.replace("=by-hand-", "=by-nobody-");
    assert.ok(CNI_ARGS !== undefined);
    const error = errorOf(await call({ ...sandbox.variables, CNI_ARGS }, sandbox.netconf));
    assert.equal(error.code, 11);
    assert.match(error.msg, /Cannot decide on pod mesh\/by-nobody-/);
    await assertUntouched(sandbox);
  });

  test("refuses what is no call: stdin with code 6, a version with code 1, an identity or a command with code 4", async () => {
    const sandbox = await freshSandbox();
    const { variables, netconf } = sandbox;
    for (const stdin of ["", "{", "no JSON"]) assert.equal(errorOf(await call(variables, stdin)).code, 6);
    assert.equal(errorOf(await call(variables, { ...netconf, cniVersion: "9.9.9" })).code, 1);
    const { CNI_CONTAINERID: _id, ...without } = variables;
    assert.equal(errorOf(await call(without, netconf)).code, 4);
    assert.equal(errorOf(await call({ ...variables, CNI_COMMAND: "FOO" }, netconf)).code, 4);
    for (const CNI_COMMAND of ["STATUS", "GC"])
      assert.equal(errorOf(await call({ ...variables, CNI_COMMAND }, netconf)).code, 1);
    await assertUntouched(sandbox);
  });

  test("takes a call without CNI_ARGS for none of Kubernetes, passes it and says so", async () => {
    const sandbox = await freshSandbox();
    const { CNI_ARGS: _args, ...without } = sandbox.variables;
    const { status, stderr } = await call(without, sandbox.netconf);
    assert.equal(status, 0);
    assert.match(stderr, /not Kubernetes/);
    await assertUntouched(sandbox);
  });

  test("counts EXCLUDE_NAMESPACES also where the conflist's copy does not have it (D23)", async () => {
    const sandbox = await freshSandbox("kube-system");
    const { exclude_namespaces: excluded, ...netconf } = sandbox.netconf;
    assert.deepEqual(excluded, ["kube-system"]);
    for (const copy of [netconf, { ...netconf, exclude_namespaces: [] }])
      assert.equal((await call(sandbox.variables, copy)).status, 0);
    // Without its state file the plugin knows of none either, and asks the agent.
    for (const name of stateFiles()) rmSync(join(RUN_DIR, name));
    assert.equal((await call(sandbox.variables, netconf)).status, 0);
    await assertUntouched(sandbox);
  });

  test("makes the API server watch the pods of the node once (surprise 17)", () => {
    assert.equal(node.mesh.api.watches("pods"), 1);
  });

  test("needs no credential: none lies on the host, and whatever else may be deleted comes back", async () => {
    const texts = HOST_FOLDERS.flatMap(readFiles);
    assert.ok(texts.length > 2, "plugin and conflist were read");
    for (const text of texts) {
      assert.ok(!text.includes(node.mesh.api.token), "the service account's token");
      assert.doesNotMatch(text, /kind: *"?Config"?\b|certificate-authority-data/, "a kubeconfig");
    }
    for (const name of readdirSync(RUN_DIR)) rmSync(join(RUN_DIR, name), { recursive: true });
    const sandbox = await freshSandbox();
    // The agent makes its socket anew at its next look; until then the plugin waits, and the kubelet tries again.
    await until(
      "the plugin reaches the agent",
      async () => (await call(sandbox.variables, sandbox.netconf)).status === 0,
    );
    await assertEnrolled(sandbox);
  });

  // The last one ends what all others need.
  test("succeeds at DEL for any stdin, without API server and without agent", async () => {
    const { variables, netconf } = await freshSandbox();
    const del = { ...variables, CNI_COMMAND: "DEL" };
    const assertSucceeds = async (): Promise<void> => {
      for (const stdin of ["", "{", "no JSON", JSON.stringify(netconf)]) {
        const { status, stdout } = await call(del, stdin);
        assert.deepEqual([status, stdout], [0, ""], stdin);
      }
    };
    await node.mesh.api.stop();
    await assertSucceeds();
    await agent.kill();
    await assertSucceeds();
    for (const name of readdirSync(RUN_DIR)) rmSync(join(RUN_DIR, name), { recursive: true });
    await assertSucceeds();
  });
});

describe("an ambient node", () => {
  let node: AmbientNode;
  let agent: TestAgent;
  let pod: TestPod;
  before(async () => {
    node = await createAmbientNode("dual");
    await node.startZtunnel();
  });
  afterEach(() => agent.stop());
  after(() => node[Symbol.asyncDispose]());

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`keeps everything when its agent ends by ${signal}, and the next agent doubles nothing (surprise 4)`, async () => {
      agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "5s" } });
      pod = await node.startPod({ name: `kept-${signal.toLowerCase()}` });
      await untilIn(node, pod);
      const held = await everything(pod);
      assert.match(held.join("\n"), /istio-inpod-probes-v4/);
      await agent.stop(signal);
      assert.deepEqual(await everything(pod), held);
      await assert.rejects(node.startPod({ name: `refused-${signal.toLowerCase()}` }), /istio-cni-node/);
      agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "5s" } });
      // It has seen the pod, so it has looked at the node.
      node.changePod(pod, { annotations: { "ambient.istio.io/redirection": null } });
      await untilIn(node, pod);
      assert.deepEqual(await everything(pod), held);
      assert.doesNotMatch(await mustRun(["iptables-legacy-save"]), /^-A/m);
      await node.removePod(pod);
    });
  }

  test("answers requests while its rules are damaged and repaired: nothing is dropped meanwhile (D16)", async () => {
    agent = await node.startAgent();
    const client = await node.startPod({ name: "client" });
    const server = await node.startPod({ name: "server" });
    await untilIn(node, client, server);
    await using _application = await startApplication(node.mesh.node.nettool, server, [8080]);
    const stopping = new AbortController();
    const failures: string[] = [];
    let asked = 0;
    const asking = (async () => {
      for (; !stopping.signal.aborted; asked++)
        for (const ip of server.ips) {
          const result = await probe(node.mesh.node.nettool, { ip, port: 8080 }, { pod: client, timeoutMs: 10_000 });
          if (result.outcome !== "direct") failures.push(`${ip}: ${JSON.stringify(result)}`);
        }
    })();
    for (const victim of [server, client, server, client]) {
      for (const tool of ["iptables-nft", "ip6tables-nft"])
        assert.equal((await victim.exec([tool, "-t", "nat", "-F", "ISTIO_PRERT"])).status, 0);
      await until(`the rules of ${victim.name} are back`, () => isRedirected(victim));
    }
    stopping.abort();
    await asking;
    assert.ok(asked > 0);
    assert.deepEqual(failures, []);
    await node.removePod(client);
    await node.removePod(server);
  });

  test("after a power cut starts the agent's own pod and what is excluded, and refuses all others until the agent is there", async () => {
    agent = await node.startAgent({ env: { PLUGIN_AGENT_WAIT: "300ms" } });
    await agent.kill();
    rmSync(RUN_DIR, { recursive: true });
    await mustRun(["nft", "delete", "table", "ip", "nat"]);
    const own = await node.startPod({ name: "istio-cni-node-x7k2p", namespace: "istio-system" });
    assert.deepEqual(await ambientTraces(own), []);
    const excluded = await node.startPod({ name: "excluded", namespace: "kube-system", labels: IN_MESH });
    assert.deepEqual(await ambientTraces(excluded), []);
    const plain = node.mesh.api.put(plainPod({ ...NEW_POD, name: "plain" }));
    const inside = node.mesh.api.put(plainPod({ ...NEW_POD, namespace: "mesh", name: "inside" }));
    const objects = [plain, inside];
    for (const object of objects)
      await assert.rejects(
        node.mesh.node.runPod(podSpecOf(object)),
        (error) => error instanceof CriError && /istio-cni-node/.test(error.details),
      );
    // The kubelet makes what the chart mounts (DirectoryOrCreate).
    mkdirSync(RUN_DIR);
    agent = await node.startAgent({ pod: own });
    const [outPod, inPod] = await Promise.all(objects.map((object) => node.mesh.node.runPod(podSpecOf(object))));
    assert.ok(outPod !== undefined && inPod !== undefined);
    assert.deepEqual(await ambientTraces(outPod), []);
    assert.ok(await isRedirected(inPod));
  });
});

/** What the agent keeps of ambient mode on the node: files that runtimes read, rules and sets of host and pod. */
async function everything(pod: TestPod): Promise<readonly string[]> {
  const saved = await Promise.all(
    [["iptables-nft-save"], ["ip6tables-nft-save"], ["ipset", "list"]].map((argv) => mustRun(argv)),
  );
  const lines = saved.flatMap((text) => text.split("\n"));
  const counters = /^#|\[\d+:\d+\]|^(Size in memory|References|Number of entries|Header)/;
  const host = lines.filter((line) => /istio/i.test(line) && !counters.test(line));
  const sets = lines.filter((line) => line.includes(pod.uid));
  return [
    ...HOST_FOLDERS.slice(0, 2).flatMap((folder) => readFiles(folder).map((text) => `${folder} ${digest(text)}`)),
    ...host,
    ...sets,
    ...(await ambientTraces(pod)),
  ];
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function stateFiles(): string[] {
  return readdirSync(RUN_DIR).filter((name) => statSync(join(RUN_DIR, name)).isFile());
}
