import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Logger } from "../../core/log.ts";
import { type AmbientMember, leaveAmbient } from "./leave-ambient.ts";

const log: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => log };

function scene() {
  const done: string[] = [];
  const open = new Set<number>();
  const member = (fd: number, change: Partial<AmbientMember> = {}): AmbientMember => ({
    podUid: `u${fd}`,
    podNamespace: "shop",
    podName: `web-${fd}`,
    open() {
      open.add(fd);
      return { fd, [Symbol.dispose]: () => void open.delete(fd) };
    },
    annotate: async () => void done.push(`annotate ${fd}`),
    ...change,
  });
  const deps = {
    remove: async (fd: number) => {
      assert.ok(open.has(fd), "the namespace is open while it is written to");
      await new Promise((resolve) => void setImmediate(resolve));
      if (fd === 13) throw new Error("EPERM");
      done.push(`remove ${fd}`);
    },
    removeHostProbes: async () => {
      done.push("host");
      return true;
    },
    log,
  };
  return { done, open, member, deps };
}

describe("leaveAmbient()", () => {
  it("takes the rules of all pods out, then their annotation, and the node's own rules last", async () => {
    const { done, open, member, deps } = scene();
    const members = Array.from({ length: 40 }, (_, index) => member(100 + index));
    assert.deepEqual(await leaveAmbient(deps, members, new AbortController().signal), { released: 40, left: [] });
    assert.equal(done.at(-1), "host");
    for (const { podUid } of members) {
      const fd = podUid.slice(1);
      assert.ok(done.indexOf(`remove ${fd}`) < done.indexOf(`annotate ${fd}`));
    }
    assert.equal(open.size, 0);
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
      new AbortController().signal,
    );
    assert.deepEqual(done.toSorted(), ["annotate 3", "remove 2", "remove 3"]);
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
    const report = await leaveAmbient(deps, [member(1)], AbortSignal.abort(new Error("time is up")));
    assert.deepEqual(done, ["host"]);
    assert.deepEqual(report.left, [{ what: "pod shop/web-1", reason: "time is up" }]);
  });
});
