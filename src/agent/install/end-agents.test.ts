import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { KubeApiError } from "../../core/kube/kube-api-error.ts";
import type { KubeDeletion } from "../../platform/http/kube-api.ts";
import { type AgentsEnd, endAgents } from "./end-agents.ts";

const status = (code: number, reason = "") =>
  new KubeApiError("KUBE_API_STATUS", `the API answered ${code}`, { status: code, reason });

interface Agent {
  readonly node?: string;
  readonly isRunning?: boolean;
}

/** A cluster whose garbage collector takes one pod a second, and then the object that stands for them. */
function scene(agents: readonly Agent[], options: { uid?: string | undefined; mayList?: boolean } = {}) {
  const { uid = "u1", mayList = true } = options;
  const cluster = { uid: "uid" in options ? options.uid : uid, agents: [...agents], isDeleting: false, stuck: false };
  const deletions: KubeDeletion[] = [];
  const refusals: { get?: Error | undefined; delete?: Error | undefined; list?: Error | undefined } = {};
  let nowMs = 0;
  const api = {
    async get() {
      if (refusals.get !== undefined) throw refusals.get;
      if (cluster.uid === undefined) throw status(404, "NotFound");
      return { metadata: { uid: cluster.uid }, spec: { template: { spec: {} } } };
    },
    async delete(_ref: unknown, deletion: KubeDeletion) {
      if (refusals.delete !== undefined) throw refusals.delete;
      deletions.push(deletion);
      cluster.isDeleting = true;
    },
    async list(_ref: unknown, query: { continueToken: string }) {
      if (!mayList) throw status(403);
      if (refusals.list !== undefined) throw refusals.list;
      // One item a page: there is more than one page for many nodes.
      const at = Number(query.continueToken || 0);
      const items = cluster.agents.slice(at, at + 1).map(({ node = "a", isRunning = true }) => ({
        metadata: { uid: "p" },
        spec: { nodeName: node },
        status: { containerStatuses: [{ state: isRunning ? { running: { startedAt: "now" } } : { waiting: {} } }] },
      }));
      const next = at + 1 < cluster.agents.length ? String(at + 1) : "";
      const metadata = { resourceVersion: "1", ...(next !== "" && { continue: next }) };
      const page = new TextEncoder().encode(JSON.stringify({ kind: "PodList", metadata, items }));
      return (async function* () {
        yield page;
      })();
    },
  };
  const ending = new AbortController();
  const clock = {
    nowMs: () => nowMs,
    async sleep(ms: number) {
      nowMs += ms;
      await setImmediate();
      if (nowMs > 60_000) ending.abort(new Error("time is up"));
      if (!cluster.isDeleting || cluster.stuck) return;
      cluster.agents.shift();
      if (cluster.agents.length === 0) cluster.uid = undefined;
    },
  };
  const run = (): Promise<AgentsEnd> => endAgents({ api, clock }, "istio-system", ending.signal);
  return { cluster, deletions, refusals, run };
}

describe("endAgents()", () => {
  it("deletes the DaemonSet that it saw, in the foreground, and waits until its pods are gone", async () => {
    const { cluster, deletions, run } = scene([{ node: "a" }, { node: "b" }, { node: "c" }]);
    assert.deepEqual(await run(), { result: "gone", unattended: [], waitingFor: [], reason: undefined });
    assert.deepEqual(deletions, [{ uid: "u1", propagation: "Foreground" }]);
    assert.deepEqual(cluster.agents, []);
  });

  it("names the nodes where no agent ran that could have cleaned them", async () => {
    const { run } = scene([{ node: "a" }, { node: "b", isRunning: false }, { node: "", isRunning: false }]);
    assert.deepEqual((await run()).unattended, ["b"]);
  });

  it("does without the right to see pods, and says that it knows nothing of them", async () => {
    const { run } = scene([{}], { mayList: false });
    const end = await run();
    assert.deepEqual([end.result, end.unattended], ["gone", undefined]);
  });

  it("is done where there is no DaemonSet, but not before agents without one have ended", async () => {
    assert.equal((await scene([], { uid: undefined }).run()).result, "absent");
    const orphans = scene([{ node: "a" }], { uid: undefined });
    orphans.cluster.isDeleting = true;
    assert.equal((await orphans.run()).result, "absent");
    assert.deepEqual(orphans.cluster.agents, []);
    assert.deepEqual(orphans.deletions, []);
  });

  it("does not take an API that does not answer for one without DaemonSet and pods", async () => {
    const orphans = scene([{ node: "a" }], { uid: undefined });
    orphans.refusals.list = status(503);
    orphans.refusals.get = status(404);
    const running = orphans.run();
    for (let looks = 0; looks < 3; looks++) await setImmediate();
    orphans.refusals.get = undefined;
    for (let looks = 0; looks < 3; looks++) await setImmediate();
    orphans.refusals.list = undefined;
    orphans.cluster.isDeleting = true;
    assert.equal((await running).result, "absent");
    assert.deepEqual(orphans.cluster.agents, []);
    const silent = scene([{ node: "a" }], { uid: undefined });
    silent.refusals.list = status(503);
    const { result, reason } = await silent.run();
    assert.deepEqual([result, reason], ["failed", "the API answered 503"]);
  });

  it("names the nodes whose agents do not end", async () => {
    const { cluster, run } = scene([{ node: "a" }, { node: "dead" }]);
    cluster.stuck = true;
    const { result, waitingFor, reason } = await run();
    assert.deepEqual([result, waitingFor], ["failed", ["a", "dead"]]);
    assert.match(reason ?? "", /istio-system\/istio-cni-node still has pods/);
  });

  it("goes on where somebody else deletes it at the same time, and through an API that fails for a while", async () => {
    const { cluster, refusals, run } = scene([{ node: "a" }]);
    refusals.delete = status(409, "Conflict");
    cluster.isDeleting = true;
    assert.equal((await run()).result, "gone");
    const failing = scene([{ node: "a" }]);
    failing.refusals.get = status(503);
    const running = failing.run();
    await setImmediate();
    assert.deepEqual(failing.deletions, []);
    failing.refusals.get = undefined;
    assert.equal((await running).result, "gone");
  });

  it("gives up without the right, and where somebody makes the DaemonSet anew", async () => {
    for (const at of ["get", "delete"] as const) {
      const { refusals, run } = scene([{}]);
      refusals[at] = status(403);
      assert.deepEqual([(await run()).result, (await run()).reason], ["failed", "the API answered 403"]);
    }
    const { cluster, run } = scene([{ node: "a" }, { node: "b" }]);
    const running = run();
    await setImmediate();
    cluster.uid = "u2";
    assert.match((await running).reason ?? "", /made the DaemonSet istio-system\/istio-cni-node anew/);
  });
});
