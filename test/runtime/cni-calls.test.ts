// The installed plugin called directly, as a runtime calls it or should not call it, with a real agent behind it: the same
// calls that were measured of upstream (docs/differences.md, "At ADD"). What the plugin alone answers has plugin/test.
import assert from "node:assert/strict";
import { readdirSync, rmSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { KubeObject } from "../../testbed/api-server/kube-object.ts";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import { callInstalledPlugin, type PluginInput, readPluginInput } from "../../testbed/node/plugin-run.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import { readGolden, readRules } from "./captured-pods.ts";
import { errorOf, HOST_FOLDERS, readFiles } from "./plugin-calls.ts";

enterNodeNamespaces();

const LINK = "/run/testbed/netns-by-another-name";

describe("the installed plugin", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  let given: PluginInput;
  let template: TestPod;
  let calls = 0;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    agent = await mesh.startAgent({ env: { PLUGIN_AGENT_WAIT: "5s" } });
    template = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "template" }));
    given = readPluginInput(mesh.node, template);
  });
  after(() => mesh.destroy());

  /** A sandbox that nobody has captured, the pod of the mesh that it is said to be of, and the variables that say so. */
  async function freshSandbox(): Promise<{ sandbox: TestPod; object: KubeObject; variables: Record<string, string> }> {
    calls += 1;
    const sandbox = await mesh.startPod(plainPod({ ...NEW_POD, name: `sandbox-${calls}` }));
    const object = mesh.api.put(sidecarPod({ ...NEW_POD, name: `by-hand-${calls}` }));
    const { name, uid = "" } = object.metadata;
    const variables = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: `by-hand-${calls}`,
      CNI_NETNS: sandbox.netnsPath,
      CNI_IFNAME: "eth0",
      CNI_PATH: mesh.node.cniBinDir,
      CNI_ARGS: given.args.replace("=template", `=${name}`).replace(template.uid, uid),
    };
    return { sandbox, object, variables };
  }

  const call = (variables: Readonly<Record<string, string>>, stdin: string | object = given.netconf) =>
    callInstalledPlugin(mesh.node, variables, typeof stdin === "string" ? stdin : JSON.stringify(stdin));

  async function assertCaptured(sandbox: TestPod): Promise<void> {
    assert.deepEqual(await readRules(sandbox), { v4: readGolden("v4"), v6: "" });
  }

  async function assertUntouched(sandbox: TestPod): Promise<void> {
    assert.equal((await sandbox.exec(["nft", "list", "tables"])).stdout, "");
  }

  test("captures without a PATH to look for programs in, and prints prevResult byte for byte", async () => {
    const { sandbox, variables } = await freshSandbox();
    const result = '{ "dns": {}, "cniVersion":"1.0.0","ips":[],"odd":1e+02 }';
    const { prevResult: _prevResult, ...netconf } = given.netconf;
    const stdin = `{"prevResult":${result},${JSON.stringify(netconf).slice(1)}`;
    const answer = await call(variables, stdin);
    assert.deepEqual([answer.status, answer.stdout], [0, result], answer.stderr);
    await assertCaptured(sandbox);
  });

  test("captures again what is captured: nothing is doubled, in no dialect", async () => {
    const { sandbox, variables } = await freshSandbox();
    for (let time = 0; time < 2; time += 1) assert.equal((await call(variables)).status, 0);
    await assertCaptured(sandbox);
    assert.doesNotMatch((await sandbox.exec(["iptables-legacy-save"])).stdout, /^-A/m);
  });

  test("captures without prevResult, and prints an empty result", async () => {
    const { sandbox, variables } = await freshSandbox();
    const { prevResult: _prevResult, ...netconf } = given.netconf;
    const answer = await call(variables, netconf);
    assert.deepEqual([answer.status, answer.stdout], [0, '{"cniVersion":"1.0.0"}\n'], answer.stderr);
    await assertCaptured(sandbox);
  });

  test("captures in a namespace under whatever path the runtime gives", async () => {
    const paths = [
      ({ netnsPath }: TestPod) => join("/run/netns", basename(netnsPath)),
      ({ netnsPath }: TestPod) => join("/var/run/netns", basename(netnsPath)),
      ({ netnsPath }: TestPod) => {
        symlinkSync(netnsPath, LINK);
        return LINK;
      },
    ];
    for (const pathOf of paths) {
      const { sandbox, variables } = await freshSandbox();
      const answer = await call({ ...variables, CNI_NETNS: pathOf(sandbox) });
      rmSync(LINK, { force: true });
      assert.equal(answer.status, 0, answer.stdout);
      await assertCaptured(sandbox);
    }
  });

  test("asks about every pod where the runtime passes no annotations: what the agent knows outside the mesh passes", async () => {
    const { runtimeConfig: _annotations, ...netconf } = given.netconf;
    const inside = await freshSandbox();
    assert.equal((await call(inside.variables, netconf)).status, 0);
    await assertCaptured(inside.sandbox);
    const { sandbox, variables } = await freshSandbox();
    const CNI_ARGS = given.args.replace("=template", `=${sandbox.name}`).replace(template.uid, sandbox.uid);
    assert.equal((await call({ ...variables, CNI_ARGS }, netconf)).status, 0);
    await assertUntouched(sandbox);
    const unknown = { ...variables, CNI_ARGS: CNI_ARGS.replace(`=${sandbox.name}`, "=unknown") };
    assert.equal(errorOf(await call(unknown, netconf)).code, 11);
  });

  test("goes by the name where the runtime gives no UID", async () => {
    const { sandbox, variables } = await freshSandbox();
    const pairs = variables["CNI_ARGS"]?.split(";") ?? [];
    const CNI_ARGS = pairs.filter((pair) => !pair.startsWith("K8S_POD_UID=")).join(";");
    assert.equal(CNI_ARGS.split(";").length, pairs.length - 1);
    assert.equal((await call({ ...variables, CNI_ARGS })).status, 0);
    await assertCaptured(sandbox);
  });

  test("refuses a UID that is not that of the pod of this name, with code 11", async () => {
    const { sandbox, object, variables } = await freshSandbox();
    const { uid = "" } = object.metadata;
    const CNI_ARGS = variables["CNI_ARGS"]?.replace(uid, "0f0f0f0f-0000-4000-8000-000000000000") ?? "";
    const error = errorOf(await call({ ...variables, CNI_ARGS }));
    assert.equal(error.code, 11);
    assert.match(error.msg, new RegExp(`its name belongs to another pod \\(uid ${uid}\\)`));
    await assertUntouched(sandbox);
  });

  test("refuses a namespace that is not there with code 8 and its path", async () => {
    const { variables } = await freshSandbox();
    const error = errorOf(await call({ ...variables, CNI_NETNS: "/run/netns/not-there" }));
    assert.deepEqual([error.code, error.msg.includes("/run/netns/not-there")], [8, true], error.msg);
  });

  test("refuses stdin that is empty or garbage with code 6, and a version nobody knows with code 1", async () => {
    const { sandbox, variables } = await freshSandbox();
    for (const stdin of ["", "{", "no JSON"]) assert.equal(errorOf(await call(variables, stdin)).code, 6);
    assert.equal(errorOf(await call(variables, { ...given.netconf, cniVersion: "9.9.9" })).code, 1);
    await assertUntouched(sandbox);
  });

  test("refuses a call without container id, and a command nobody knows, with code 4", async () => {
    const { sandbox, variables } = await freshSandbox();
    const { CNI_CONTAINERID: _id, ...without } = variables;
    assert.equal(errorOf(await call(without)).code, 4);
    assert.equal(errorOf(await call({ ...variables, CNI_COMMAND: "FOO" })).code, 4);
    await assertUntouched(sandbox);
  });

  test("takes a call without CNI_ARGS for none of Kubernetes, passes it and says so", async () => {
    const { sandbox, variables } = await freshSandbox();
    const { CNI_ARGS: _args, ...without } = variables;
    const { status, stderr } = await call(without);
    assert.equal(status, 0);
    assert.match(stderr, /not Kubernetes/);
    await assertUntouched(sandbox);
  });

  test("refuses STATUS and GC of a 1.0.0 conflist as the specification wants, and succeeds at those of 1.1.0", async () => {
    const { variables } = await freshSandbox();
    for (const CNI_COMMAND of ["STATUS", "GC"]) {
      const error = errorOf(await call({ ...variables, CNI_COMMAND }));
      assert.deepEqual([error.code, error.msg], [1, `config version does not allow ${CNI_COMMAND}`]);
      const newer = await call({ ...variables, CNI_COMMAND }, { ...given.netconf, cniVersion: "1.1.0" });
      assert.equal(newer.status, 0, newer.stdout);
    }
  });

  test("needs no credential: none lies on the host, and whatever else may be deleted comes back", async () => {
    const texts = HOST_FOLDERS.flatMap(readFiles);
    assert.ok(texts.length > 3, "plugin, conflist and state file were read");
    for (const text of texts) {
      assert.ok(!text.includes(mesh.api.token), "the service account's token");
      assert.doesNotMatch(text, /kind: *"?Config"?\b|certificate-authority-data/, "a kubeconfig");
    }
    for (const name of readdirSync("/run/istio-cni")) rmSync(join("/run/istio-cni", name), { recursive: true });
    // The agent makes its socket anew at its next look; until then the plugin waits, and the kubelet tries again.
    const { sandbox, variables } = await freshSandbox();
    let answer = await call(variables);
    for (const deadline = performance.now() + 60_000; answer.status !== 0 && performance.now() < deadline; )
      answer = await call(variables);
    assert.equal(answer.status, 0, answer.stdout);
    await assertCaptured(sandbox);
  });

  test("makes the API server watch the pods of the node once", () => {
    assert.equal(mesh.api.watches("pods"), 1);
  });

  // The last two end what all others need.
  test("succeeds at DEL for any stdin, without API server and without agent", async () => {
    const { variables } = await freshSandbox();
    const del = { ...variables, CNI_COMMAND: "DEL" };
    await mesh.api.stop();
    const assertSucceeds = async (): Promise<void> => {
      for (const stdin of ["", "{", "no JSON", JSON.stringify(given.netconf)]) {
        const { status, stdout } = await call(del, stdin);
        assert.deepEqual([status, stdout], [0, ""], stdin);
      }
    };
    await assertSucceeds();
    await agent.kill();
    await assertSucceeds();
    for (const name of readdirSync("/run/istio-cni")) rmSync(join("/run/istio-cni", name), { recursive: true });
    await assertSucceeds();
  });
});
