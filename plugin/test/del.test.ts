// DEL: exit code 0 and an empty stdout for every input, and a notice to the agent where there is something to tell.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startFakeAgent } from "./fake-agent.ts";
import { createRandom } from "./random.ts";
import { ADD_ENVIRONMENT, BUILDS, netconf, pluginPath, runPlugin } from "./run-plugin.ts";

for (const build of BUILDS) pluginPath(build);

const DEL_ENVIRONMENT = { ...ADD_ENVIRONMENT, CNI_COMMAND: "DEL" };

for (const build of BUILDS) {
  test(`the ${build} plugin succeeds at DEL without a variable, with bad ones and with any stdin`, async () => {
    const environments: Record<string, string>[] = [{ CNI_COMMAND: "DEL" }];
    for (const name of Object.keys(DEL_ENVIRONMENT)) {
      if (name === "CNI_COMMAND") continue;
      environments.push({ ...DEL_ENVIRONMENT, [name]: "" }, { ...DEL_ENVIRONMENT, [name]: "/ ;=:\u0001" });
    }
    for (const environment of environments) {
      for (const stdin of ["", "{", netconf(), netconf({ cniVersion: "9.9.9" }), " ".repeat(1024 * 1024 + 1)]) {
        const run = await runPlugin(build, environment, stdin);
        assert.deepEqual([run.exitCode, run.stdout.toString()], [0, ""], JSON.stringify({ environment, stdin }));
      }
    }
  });

  test(`the ${build} plugin succeeds at DEL for 200 random inputs`, async () => {
    const random = createRandom(20261122);
    const valid = Buffer.from(netconf({ prevResult: { ips: [] }, exclude_namespaces: ["x"], pod_namespace: "y" }));
    for (let i = 0; i < 200; i++) {
      const stdin = Buffer.from(valid.subarray(0, random.below(valid.length + 1)));
      for (let change = random.below(4); change > 0 && stdin.length > 0; change--) {
        stdin[random.below(stdin.length)] = random.below(256);
      }
      const run = await runPlugin(build, DEL_ENVIRONMENT, stdin);
      assert.deepEqual([run.exitCode, run.stdout.length], [0, 0], stdin.toString("hex"));
    }
  });

  test(`the ${build} plugin tells the agent of a DEL and does not wait for it`, async () => {
    // This agent never answers, and never closes.
    await using agent = await startFakeAgent(() => {});
    const run = await runPlugin(
      build,
      DEL_ENVIRONMENT,
      netconf({ cni_agent_run_dir: agent.runDir, agent_wait_ms: 60_000 }),
    );
    assert.deepEqual([run.exitCode, run.stdout.toString(), run.stderr], [0, "", ""]);
    await agent.waitFor(1);
    const { header, request } = agent.received[0] ?? assert.fail();
    assert.deepEqual([header.flags, request.command, request.containerId], [1, "DEL", "c0ffee"]);
  });

  test(`the ${build} plugin tells the agent of a DEL without network namespace`, async () => {
    await using agent = await startFakeAgent(() => {});
    const run = await runPlugin(
      build,
      { ...DEL_ENVIRONMENT, CNI_NETNS: "" },
      netconf({ cni_agent_run_dir: agent.runDir }),
    );
    assert.equal(run.exitCode, 0);
    await agent.waitFor(1);
    assert.equal(agent.received[0]?.request.netnsPath, "");
  });

  test(`the ${build} plugin tells the agent nothing of pods that are not in the mesh`, async () => {
    await using agent = await startFakeAgent(() => {});
    const base = { cni_agent_run_dir: agent.runDir };
    for (const more of [
      { exclude_namespaces: ["shop"] },
      { runtimeConfig: { "io.kubernetes.cri.pod-annotations": {} } },
      { name: "" },
    ]) {
      assert.equal((await runPlugin(build, DEL_ENVIRONMENT, netconf({ ...base, ...more }))).exitCode, 0);
    }
    // A notice that is sent comes in order, so had one of those been sent it would be the first.
    await runPlugin(build, { ...DEL_ENVIRONMENT, CNI_CONTAINERID: "last" }, netconf(base));
    await agent.waitFor(1);
    assert.equal(agent.received[0]?.request.containerId, "last");
  });
}
