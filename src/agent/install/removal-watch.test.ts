import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KubeApiError } from "../../core/kube/kube-api-error.ts";
import type { ResourceRef } from "../../core/kube/resource-path.ts";
import type { Logger } from "../../core/log.ts";
import { createRemovalWatch, type RemovalWatch } from "./removal-watch.ts";

const signal = new AbortController().signal;
const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  scope: () => log,
};
const THERE = { metadata: { uid: "u" }, spec: { template: { spec: {} } } };
const status = (code: number, reason = "") => {
  return new KubeApiError("KUBE_API_STATUS", `status ${code}`, { status: code, reason });
};
const GONE = status(404, "NotFound");

/** An API whose answers are given one after the other; the last one stays. */
function scene(...answers: readonly unknown[]): { watch: RemovalWatch; asked: ResourceRef[] } {
  const asked: ResourceRef[] = [];
  const api = {
    async get(ref: ResourceRef) {
      asked.push(ref);
      const answer = answers[Math.min(asked.length, answers.length) - 1];
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const clock = { nowMs: () => 0, sleep: async () => undefined };
  const place = { namespace: "istio-system", nodeName: "node-1" };
  return { watch: createRemovalWatch({ api, clock, random: () => 0, log }, place), asked };
}

describe("createRemovalWatch()", () => {
  for (const [what, answers, isProven] of [
    ["was seen and is gone", [THERE, GONE], true],
    ["was seen and somebody before the API server answers 404 to everything", [THERE, status(404)], false],
    ["was seen and is there", [THERE, THERE], false],
    ["was seen after a failure, and is gone", [status(500), THERE, GONE], true],
    ["was seen once the API server served its path, and is gone", [status(404), THERE, GONE], true],
    ["may not be seen at the end", [THERE, status(403)], false],
    ["is asked for with a token that is no longer valid", [THERE, status(401)], false],
    ["is not told of at the end", [THERE, status(503)], false],
    ["was never there under its name", [GONE, GONE], false],
    ["may not be seen from the start", [status(403), GONE], false],
    ["is garbage at the end", [THERE, "garbage"], false],
  ] as const) {
    it(`${isProven ? "proves the removal" : "keeps everything"} when the DaemonSet ${what}`, async () => {
      const { watch } = scene(...answers);
      await watch.run(signal);
      assert.equal((await watch.decide(signal)).isProven, isProven);
    });
  }

  it("asks once at the start for the one it may see, and does not ask again where it may not", async () => {
    for (const answer of [THERE, status(403)]) {
      const { watch, asked } = scene(answer);
      await watch.run(signal);
      assert.deepEqual(asked, [{ plural: "daemonsets", namespace: "istio-system", name: "istio-cni-node" }]);
    }
  });

  it("ends with its signal while the API server does not answer", async () => {
    const ending = new AbortController();
    const api = {
      get: async () => {
        ending.abort();
        throw status(500);
      },
    };
    const clock = { nowMs: () => 0, sleep: async () => undefined };
    const watch = createRemovalWatch(
      { api, clock, random: () => 0, log },
      { namespace: "istio-system", nodeName: "node-1" },
    );
    await watch.run(ending.signal);
    assert.equal((await watch.decide(signal)).isProven, false);
  });

  it("proves nothing without knowing its namespace, and asks nobody", async () => {
    const api = { get: async () => assert.fail("asked") };
    const clock = { nowMs: () => 0, sleep: async () => undefined };
    const place = { namespace: undefined, nodeName: "node-1" };
    const watch = createRemovalWatch({ api, clock, random: () => 0, log }, place);
    assert.equal((await watch.decide(signal)).isProven, false);
  });
});
