// Each variant in the real containerd as the DaemonSet would run it: does it start, as whom, with what, and does it
// capture a sidecar pod.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { type ImageAgentOptions, startImageAgent } from "../../testbed/node/image-agent.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { TestPod } from "../../testbed/node/pod.ts";
import type { ImageAgent } from "../../testbed/node/supervise-agent.ts";
import { assertCaptured, eventually } from "../runtime/captured-pods.ts";
import { archiveOf, NATIVE_ARCHITECTURE, referenceOf, VARIANTS } from "./built-images.ts";

enterNodeNamespaces();

/** CAP_DAC_OVERRIDE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_PTRACE, CAP_SYS_ADMIN: what upstream's chart grants. */
const CHART_CAPABILITIES = 0x283002;
const NON_ROOT = 65532;

let mesh: MeshNode;
let peer: TestPod;
before(async () => {
  mesh = await createMeshNode({ families: "dual" });
  peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
});
after(() => mesh.destroy());

let pods = 0;

/** Starts it, captures a pod, and ends it; what it looked like in between. */
async function doTheMainJob(
  options: Omit<ImageAgentOptions, "apiServer">,
  look?: (agent: ImageAgent) => void,
): Promise<void> {
  const agent = await startImageAgent(mesh.node, { ...options, apiServer: mesh.api });
  await agent.waitReady();
  await mesh.node.waitForChained();
  pods += 1;
  const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: `web-${pods}` }));
  await assertCaptured(mesh.node, pod, peer, [4]);
  look?.(agent);
  await pod.remove();
  assert.equal(await agent.stop(), 0, agent.log().slice(-20).join("\n"));
}

/** Every thread of the agent itself: name of the program, user and effective capabilities. */
function readThreads(agent: ImageAgent): readonly { readonly uid: number; readonly effective: number }[] {
  const [child] = readFileSync(`/proc/${agent.pid}/task/${agent.pid}/children`, "utf8").trim().split(" ");
  assert.ok(child !== undefined && child !== "", "process 1 has no child");
  const status = readFileSync(`/proc/${child}/status`, "utf8");
  return [status].map((text) => ({
    uid: Number(/^Uid:\t(\d+)/m.exec(text)?.[1]),
    effective: Number.parseInt(/^CapEff:\t(\w+)/m.exec(text)?.[1] ?? "", 16),
  }));
}

for (const variant of VARIANTS) {
  describe(`the ${variant} image`, () => {
    const image = referenceOf(variant);
    before(() => mesh.node.runtime.importImageFile(archiveOf(variant, NATIVE_ARCHITECTURE)));

    test("captures a pod as the chart runs it: user 0, five capabilities, its own command", async () => {
      await doTheMainJob({ image, readonlyRoot: true }, (agent) => {
        assert.equal(readFileSync(join("/proc", String(agent.pid), "comm"), "utf8"), "tini\n");
        assert.deepEqual(readThreads(agent), [{ uid: 0, effective: CHART_CAPABILITIES }]);
      });
    });

    test("captures a pod as user 65532, with the file capabilities of its launcher", async () => {
      await doTheMainJob({ image, uid: NON_ROOT, readonlyRoot: true }, (agent) => {
        assert.deepEqual(readThreads(agent), [{ uid: NON_ROOT, effective: CHART_CAPABILITIES }]);
      });
    });
  });
}

describe("the runtime image in other pods than the chart's", () => {
  const image = referenceOf("runtime");
  before(() => mesh.node.runtime.importImageFile(archiveOf("runtime", NATIVE_ARCHITECTURE)));

  test("captures a pod as the guide's DaemonSet has it: privileged, the image's own user and entry point (P11, P31)", async () => {
    await doTheMainJob({ image, uid: "image", rights: "privileged", command: undefined, args: [] }, (agent) => {
      const [thread] = readThreads(agent);
      assert.equal(thread?.uid, NON_ROOT);
      // The launcher takes the five and leaves the rest of what privileged means.
      assert.equal(thread?.effective, CHART_CAPABILITIES);
    });
  });

  for (const { what, options } of [
    { what: "no capability is granted", options: { rights: "none" } },
    { what: "file capabilities are void (allowPrivilegeEscalation: false)", options: { noNewPrivileges: true } },
  ] as const) {
    test(`starts as user 65532 where ${what}, and says what it lacks`, async () => {
      const agent = await startImageAgent(mesh.node, { image, uid: NON_ROOT, ...options, apiServer: mesh.api });
      await eventually(
        () =>
          agent
            .log()
            .some((line) => /CAP_[A-Z_]+|capabilit|EACCES|EPERM|[Pp]ermission denied|not permitted/.test(line)),
        () => `nothing said\n${agent.log().slice(-30).join("\n")}`,
      );
      assert.ok(!agent.log().some((line) => /^\s+at .*\(.*:\d+:\d+\)$/.test(line)), "a stack trace");
      await agent.stop();
    });
  }
});
