import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { tellSyncing } from "./tell-syncing.ts";

type Health = ReturnType<Parameters<typeof tellSyncing>[0]["informers"]["health"]>[number];

function createScene() {
  const said: string[] = [];
  const pods = Promise.withResolvers<void>();
  let health: readonly Pick<Health, "kind" | "isSynced" | "lastFailure">[] = [];
  let turn = Promise.withResolvers<void>();
  const ending = new AbortController();
  const running = tellSyncing(
    {
      informers: {
        health: () => health as Health[],
        pods: { waitSynced: () => pods.promise },
        namespaces: { waitSynced: async () => undefined },
      },
      synced: { ready: () => void said.push("ready"), notReady: (why) => void said.push(why) },
      clock: {
        sleep: (_ms, signal) =>
          Promise.race([
            turn.promise,
            new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
          ]),
      },
    },
    ending.signal,
  );
  const settle = async (): Promise<void> => {
    for (let times = 0; times < 10; times++) await Promise.resolve();
  };
  return {
    said,
    pods,
    look: async (...now: readonly Pick<Health, "kind" | "isSynced" | "lastFailure">[]) => {
      health = now;
      turn.resolve();
      turn = Promise.withResolvers();
      await settle();
      return said.at(-1);
    },
    end: () => {
      ending.abort();
      return running;
    },
    running,
  };
}

const PODS = { kind: "pods", isSynced: false } as const;

describe("tellSyncing()", () => {
  it("says what the API has not shown, why, and which right is missing", async () => {
    const scene = createScene();
    assert.equal(await scene.look(PODS), "the API server has not shown the pods of this node yet");
    assert.equal(
      await scene.look({ ...PODS, lastFailure: "Cannot list pods: the API server answered 403: pods is forbidden" }),
      "the API server has not shown the pods of this node yet: Cannot list pods: the API server answered 403: pods is forbidden; the agent's service account has to be allowed to get, list and watch pods",
    );
    assert.match(
      (await scene.look({ ...PODS, isSynced: true }, { kind: "namespaces", isSynced: false, lastFailure: "401" })) ??
        "",
      /^the API server has not shown the namespaces yet: 401; the API server does not take the token/,
    );
    scene.pods.resolve();
    await scene.running;
    assert.equal(scene.said.at(-1), "ready");
  });

  it("ends with its signal, ready or not", async () => {
    const scene = createScene();
    await scene.look(PODS);
    scene.pods.reject(new Error("ended"));
    await scene.end();
    assert.ok(!scene.said.includes("ready"));
  });
});
