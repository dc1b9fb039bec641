import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Logger } from "../../core/log.ts";
import { type AmbientMember, leaveAmbient } from "./leave-ambient.ts";

const log: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => log };
const never = new AbortController().signal;

function scene() {
  const done: string[] = [];
  const open = new Set<number>();
  /** Open connections by descriptor; undefined: the kernel does not tell. */
  const connections = new Map<number, number | undefined>();
  const redirected = new Set<number>();
  let nowMs = 0;
  /** What happens while it is waited for. */
  const during = { sleep: (_nowMs: number) => {} };
  const member = (fd: number, change: Partial<AmbientMember> = {}): AmbientMember => {
    redirected.add(fd);
    return {
      podUid: `u${fd}`,
      podNamespace: "shop",
      podName: `web-${fd}`,
      open() {
        open.add(fd);
        return { fd, [Symbol.dispose]: () => void open.delete(fd) };
      },
      annotate: async () => void done.push(`annotate ${fd}`),
      ...change,
    };
  };
  const deps = {
    release: async (fd: number) => {
      assert.ok(open.has(fd), "the namespace is open while it is written to");
      const changed = redirected.delete(fd);
      if (changed) done.push(`release ${fd}`);
      await setImmediate();
      return { changed, connections: connections.has(fd) ? connections.get(fd) : 0 };
    },
    remove: async (fd: number) => {
      assert.ok(open.has(fd), "the namespace is open while it is written to");
      await setImmediate();
      if (fd === 13) throw new Error("EPERM");
      done.push(`remove ${fd}`);
    },
    removeHostProbes: async () => {
      done.push("host");
      return true;
    },
    clock: {
      nowMs: () => nowMs,
      async sleep(ms: number, signal: AbortSignal) {
        signal.throwIfAborted();
        nowMs += ms;
        during.sleep(nowMs);
      },
    },
    log,
  };
  return { done, open, member, deps, connections, during, nowMs: () => nowMs };
}

describe("leaveAmbient()", () => {
  it("lets all pods go, takes their annotation away, then their rules out, and the node's own rules last", async () => {
    const { done, open, member, deps } = scene();
    const members = Array.from({ length: 40 }, (_, index) => member(100 + index));
    assert.deepEqual(await leaveAmbient(deps, members, { finishMs: 5000 }, never), { released: 40, left: [] });
    assert.equal(done.at(-1), "host");
    const lastRelease = done.findLastIndex((action) => action.startsWith("release"));
    for (const { podUid } of members) {
      const fd = podUid.slice(1);
      assert.ok(lastRelease < done.indexOf(`remove ${fd}`));
      assert.ok(done.indexOf(`annotate ${fd}`) < done.indexOf(`remove ${fd}`));
    }
    assert.equal(open.size, 0);
  });

  it("does not wait for the API before it takes rules out", async () => {
    const { done, member, deps } = scene();
    const answer = Promise.withResolvers<void>();
    const remove = async (fd: number) => {
      await deps.remove(fd);
      answer.reject(new Error("no answer"));
    };
    const silent = member(1, { annotate: () => answer.promise });
    const { left } = await leaveAmbient({ ...deps, remove }, [silent], { finishMs: 0 }, never);
    assert.deepEqual(done, ["release 1", "remove 1", "host"]);
    assert.equal(left.length, 1);
  });

  it("waits for the connections that pods have, and not a moment longer", async () => {
    const { done, member, deps, connections, during, nowMs } = scene();
    connections.set(1, 3);
    during.sleep = (now) => {
      if (now < 2000) assert.ok(!done.includes("remove 1"));
      else connections.set(1, 0);
    };
    await leaveAmbient(deps, [member(1), member(2)], { finishMs: 60_000 }, never);
    assert.deepEqual(done.toSorted(), [
      "annotate 1",
      "annotate 2",
      "host",
      "release 1",
      "release 2",
      "remove 1",
      "remove 2",
    ]);
    assert.equal(nowMs(), 2000);
  });

  it("looks once more after it let a pod go: connections may have been on their way", async () => {
    const { done, member, deps, connections, during, nowMs } = scene();
    during.sleep = (now) => void (now === 500 ? connections.set(1, 1) : connections.set(1, 0));
    await leaveAmbient(deps, [member(1)], { finishMs: 5000 }, never);
    assert.ok(done.includes("remove 1"));
    assert.equal(nowMs(), 750);
  });

  it("waits no longer than it may, where connections stay or the kernel tells of none", async () => {
    for (const count of [1, undefined]) {
      const { done, member, deps, connections, nowMs } = scene();
      connections.set(1, count);
      await leaveAmbient(deps, [member(1)], { finishMs: 5000 }, never);
      assert.ok(done.includes("remove 1"));
      assert.equal(nowMs(), 5000);
    }
  });

  it("takes the rules out at once where a pod cannot be let go first", async () => {
    const { done, member, deps, nowMs } = scene();
    const failing = { ...deps, release: () => Promise.reject(new Error("EOPNOTSUPP")) };
    assert.equal((await leaveAmbient(failing, [member(1)], { finishMs: 5000 }, never)).released, 1);
    assert.deepEqual(done, ["annotate 1", "remove 1", "host"]);
    assert.equal(nowMs(), 0);
  });

  it("tells what it could not do, and does the rest", async () => {
    const { done, open, member, deps } = scene();
    const report = await leaveAmbient(
      { ...deps, removeHostProbes: () => Promise.reject(new Error("no such namespace")) },
      [
        member(13),
        member(1, { open: () => undefined }),
        member(2, { annotate: () => Promise.reject(new Error("403")) }),
        member(3),
      ],
      { finishMs: 0 },
      never,
    );
    assert.deepEqual(done.filter((action) => !action.startsWith("release")).toSorted(), [
      "annotate 13",
      "annotate 3",
      "remove 2",
      "remove 3",
    ]);
    assert.equal(report.released, 2);
    assert.deepEqual(report.left.map(({ what, reason }) => `${what}: ${reason}`).toSorted(), [
      "pod shop/web-13: EPERM",
      "pod shop/web-1: its network namespace is not known",
      "the annotation of pod shop/web-2: 403",
      "the node's rules for probes: no such namespace",
    ]);
    assert.equal(open.size, 0);
  });

  it("does not begin with a pod when time is up, and never rejects", async () => {
    const { done, member, deps } = scene();
    const over = AbortSignal.abort(new Error("time is up"));
    const report = await leaveAmbient(deps, [member(1)], { finishMs: 5000 }, over);
    assert.deepEqual(done, ["host"]);
    assert.deepEqual(report.left, [{ what: "pod shop/web-1", reason: "time is up" }]);
  });
});
