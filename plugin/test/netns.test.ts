// The network namespace: which descriptor the agent gets, and which paths are refused.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeAnswer } from "../../src/core/plugin-protocol/request.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { SOCK_STREAM } from "../../src/platform/linux/socket-numbers.ts";
import { listenUnix } from "../../src/platform/linux/unix-socket.ts";
import { ADD_ENVIRONMENT, BUILDS, cniErrorOf, netconf, pluginPath, runPlugin, temporaryFolder } from "./run-plugin.ts";

for (const build of BUILDS) pluginPath(build);

/** A process in a network namespace of its own; both are gone when it is killed. */
async function startInNewNetns(): Promise<AsyncDisposable & { readonly path: string }> {
  const flags = process.getuid?.() === 0 ? "--net" : "--map-root-user --net";
  const child: ChildProcess = spawn("unshare", [...flags.split(" "), "sh", "-c", "echo ready; exec sleep 60"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (child.stdout === null) throw new Error("The child has no stdout");
  await once(child.stdout, "data");
  return {
    path: `/proc/${child.pid}/ns/net`,
    async [Symbol.asyncDispose]() {
      const closed = once(child, "close");
      child.kill("SIGKILL");
      await closed;
    },
  };
}

const OWN_PODS = { CNI_NETNS_OVERRIDE: "" };

for (const build of BUILDS) {
  test(`the ${build} plugin passes the pod's network namespace to the agent as one descriptor`, async () => {
    using folder = temporaryFolder();
    await using pod = await startInNewNetns();
    const poller = createPoller((error) => assert.fail(String(error)));
    using listener = listenUnix(join(folder.path, "plugin.sock"), SOCK_STREAM, { mode: 0o600, backlog: 8 });
    const seen: { ino: number; dev: number; count: number }[] = [];
    using _accepting = poller.watch(listener.fd, { readable: true, writable: false }, () => {
      const connection = listener.accept();
      if (connection === undefined) return;
      assert.equal(connection.peer.uid, process.getuid?.());
      const reading = poller.watch(connection.fd, { readable: true, writable: false }, () => {
        const received = connection.receive(new Uint8Array(64 * 1024));
        if (received === undefined) return;
        for (const descriptor of received.descriptors) {
          const { ino, dev } = fstatSync(descriptor);
          seen.push({ ino, dev, count: received.descriptors.length });
          closeSync(descriptor);
        }
        connection.send(encodeAnswer({ exitCode: 0 }));
        reading[Symbol.dispose]();
        connection.close();
      });
    });
    for (const command of ["ADD", "CHECK"]) {
      const environment = { ...ADD_ENVIRONMENT, ...OWN_PODS, CNI_COMMAND: command, CNI_NETNS: pod.path };
      const run = await runPlugin(build, environment, netconf({ cni_agent_run_dir: folder.path, agent_wait_ms: 5000 }));
      assert.deepEqual([run.exitCode, run.stderr], [0, ""]);
    }
    const { ino, dev } = statSync(pod.path);
    assert.deepEqual(seen, [
      { ino, dev, count: 1 },
      { ino, dev, count: 1 },
    ]);
    await poller.close();
  });

  test(`the ${build} plugin refuses what is no network namespace, before it asks anybody`, async () => {
    using folder = temporaryFolder();
    const fifo = join(folder.path, "fifo");
    execFileSync("mkfifo", [fifo], { timeout: 10_000 });
    for (const [path, why] of [
      ["/nonexistent/netns", /No such file or directory: \/nonexistent\/netns/],
      [join(folder.path), /not a namespace/],
      [fifo, /not a namespace/],
      ["/dev/null", /not a namespace/],
      ["/proc/self/ns/mnt", /a namespace of another kind/],
    ] as const) {
      const run = await runPlugin(build, { ...ADD_ENVIRONMENT, ...OWN_PODS, CNI_NETNS: path }, netconf());
      const error = cniErrorOf(run);
      assert.equal(error.code, 8);
      assert.match(error.msg, why);
    }
  });

  test(`the ${build} plugin refuses its own network namespace, also for pods it passes, but not for the agent's pod`, async () => {
    const same = "plugin's netns and netns from CNI_NETNS should not be the same";
    for (const more of [{}, { exclude_namespaces: ["shop"] }]) {
      const error = cniErrorOf(await runPlugin(build, { ...ADD_ENVIRONMENT, ...OWN_PODS }, netconf(more)));
      assert.deepEqual([error.code, error.msg], [8, same]);
    }
    for (const override of ["1", "true", "TRUE"]) {
      const environment = { ...ADD_ENVIRONMENT, CNI_NETNS_OVERRIDE: override };
      assert.equal((await runPlugin(build, environment, netconf({ exclude_namespaces: ["shop"] }))).exitCode, 0);
    }
    const own = { CNI_ARGS: "K8S_POD_NAMESPACE=istio-system;K8S_POD_NAME=istio-cni-node-abcde" };
    const run = await runPlugin(
      build,
      { ...ADD_ENVIRONMENT, ...OWN_PODS, ...own },
      netconf({ pod_namespace: "istio-system" }),
    );
    assert.equal(run.exitCode, 0);
  });

  test(`the ${build} plugin passes a pod outside the mesh whose namespace cannot be opened`, async () => {
    const environment = { ...ADD_ENVIRONMENT, ...OWN_PODS, CNI_NETNS: "/nonexistent/netns" };
    assert.equal((await runPlugin(build, environment, netconf({ exclude_namespaces: ["shop"] }))).exitCode, 0);
  });
}
