// Looks into a pod's namespace, with a namespace that is only told of.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Pod, parsePod } from "../../core/kube/pod.ts";
import { sidecarRules } from "../../core/rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../core/rules/sidecar-capture.ts";
import { parseTraceQuery, readTraceTexts } from "../../core/trace/trace-query.ts";
import { type LiveLookDeps, lookLive } from "./live-look.ts";
import { lookIntoPod } from "./pod-netns.ts";
import { tracePacket } from "./pod-trace.ts";

const POD: Pod = parsePod({
  metadata: { namespace: "shop", name: "web", uid: "u1", resourceVersion: "1" },
  spec: { containers: [{ name: "app" }] },
});
const HELD = { fd: 7, ino: 4026532733n, source: "add" } as const;
const FOREVER = new AbortController().signal;

/** `open` counts the descriptors that are open. */
function depsOf(change: Partial<LiveLookDeps> = {}) {
  const state = { open: 0, sought: 0 };
  const deps: LiveLookDeps = {
    netns: {
      get: () => HELD,
      find: async () => {
        state.sought += 1;
        return new Map();
      },
    },
    isForbidden: () => false,
    dup(fd) {
      state.open += 1;
      const close = () => {
        state.open -= 1;
      };
      return { fd: fd + 1, dev: 4n, ino: HELD.ino, [Symbol.dispose]: close };
    },
    drift: async () => [],
    take: async () => ({ rulesets: [] }),
    nowMs: () => 0,
    ...change,
  };
  return { deps, state };
}

describe("lookIntoPod()", () => {
  it("looks with a descriptor of its own, closed when the look is over, however it ends", async () => {
    const { deps, state } = depsOf();
    const look = (fd: number): Promise<number> => {
      assert.equal(state.open, 1);
      return Promise.resolve(fd);
    };
    assert.deepEqual(await lookIntoPod(deps, POD, look, FOREVER), {
      kind: "seen",
      netns: { inode: "4026532733", source: "add" },
      value: 8,
    });
    const failed = await lookIntoPod(
      deps,
      POD,
      () => Promise.reject(new Error("Cannot read the rules: EPERM")),
      FOREVER,
    );
    assert.partialDeepStrictEqual(failed, { kind: "unavailable" });
    assert.match("message" in failed ? failed.message : "", /Cannot read the rules: EPERM$/);
    assert.equal(state.open, 0);
  });

  it("answers when its time is over, and closes when the look is", async () => {
    const { deps, state } = depsOf();
    const look = Promise.withResolvers<void>();
    const asker = new AbortController();
    const answer = lookIntoPod(deps, POD, () => look.promise, asker.signal);
    asker.abort();
    const told = await answer;
    assert.match("message" in told ? told.message : "", /there was no answer in time$/);
    assert.equal(state.open, 1, "what is being read is not closed under the reader");
    look.reject(new Error("late"));
    await Promise.allSettled([look.promise]);
    await Promise.resolve();
    assert.equal(state.open, 0);
  });

  it("never looks into the node's namespace, and seeks that of a pod that nobody holds", async () => {
    const { deps, state } = depsOf({ isForbidden: () => true });
    const never = () => assert.fail("it was looked into");
    assert.match(JSON.stringify(await lookIntoPod(deps, POD, never, FOREVER)), /it is the node's or the agent's own/);
    const ofNode = await lookIntoPod(deps, { ...POD, hostNetwork: true }, never, FOREVER);
    assert.match(JSON.stringify(ofNode), /uses the node's own network/);
    assert.equal(state.sought, 0);
    const message = "Cannot find the network namespace of pod shop/web: no process";
    const find = async () => new Map([[POD, { kind: "not-found", message }]]);
    const absent = depsOf({ netns: { get: () => undefined, find } }).deps;
    assert.deepEqual(await lookIntoPod(absent, POD, never, FOREVER), { kind: "unavailable", message });
    let isFound = false;
    const late = depsOf({
      netns: {
        get: () => (isFound ? { ...HELD, source: "uid" } : undefined),
        find: async () => {
          isFound = true;
          return new Map();
        },
      },
    }).deps;
    assert.partialDeepStrictEqual(await lookIntoPod(late, POD, async () => 1, FOREVER), { netns: { source: "uid" } });
  });
});

describe("lookLive()", () => {
  const live = (change: Partial<LiveLookDeps>, capture: typeof DEFAULT_SIDECAR_CAPTURE | undefined) =>
    lookLive(depsOf(change).deps, POD, capture, FOREVER);

  it("tells what differs from what is wanted, cut", async () => {
    assert.partialDeepStrictEqual(await live({}, DEFAULT_SIDECAR_CAPTURE), { state: "as-wanted", driftCount: 0 });
    const many = Array.from({ length: 100 }, (_, at) => `difference ${at}`);
    const cut = await live({ drift: async () => many }, DEFAULT_SIDECAR_CAPTURE);
    assert.deepEqual([cut.state, cut.drift.length, cut.driftCount], ["differs", 64, 100]);
    const broken = await live({ drift: () => Promise.reject(new Error("no")) }, DEFAULT_SIDECAR_CAPTURE);
    assert.equal(broken.state, "unknown");
  });

  it("tells of a pod of which nothing is wanted whether a mesh's rules stand there", async () => {
    assert.partialDeepStrictEqual(await live({}, undefined), { state: "nothing-wanted", holdsMeshRules: false });
    const rulesets = sidecarRules(DEFAULT_SIDECAR_CAPTURE);
    assert.partialDeepStrictEqual(await live({ take: async () => ({ rulesets }) }, undefined), {
      holdsMeshRules: true,
    });
  });
});

describe("tracePacket()", () => {
  it("tells impossible packets from namespaces that cannot be seen", async () => {
    const query = parseTraceQuery(readTraceTexts(new URLSearchParams("in=true&from=10.0.0.1&port=80")));
    assert.ok(!("message" in query));
    const picture = { rulesets: [], deviceChains: [], unread: undefined, addresses: [], interfaces: new Map() };
    const route = () => ({ kind: "none", errno: 101 }) as const;
    const deps = { ...depsOf().deps, take: async () => picture, route, wallMs: () => 0 };
    const target = { node: "node-1", pod: POD, capture: undefined };
    assert.deepEqual(await tracePacket(deps, target, query, FOREVER), {
      kind: "impossible",
      message: "Cannot trace: the pod has no IPv4 address",
    });
    const blind = { ...deps, take: () => Promise.reject(new Error("Cannot read the rules: EPERM")) };
    assert.partialDeepStrictEqual(await tracePacket(blind, target, query, FOREVER), { kind: "unavailable" });
  });
});
