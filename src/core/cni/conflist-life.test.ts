import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  acted,
  CONCEDED_FOR_MS,
  type ConflistLife,
  type FightPolicy,
  isFighting,
  look,
  NEW_LIFE,
} from "./conflist-life.ts";
import type { DesiredInstall } from "./decide-install.ts";
import type { HostView } from "./host-view.ts";

const LIST = '{"name":"n","plugins":[{"type":"calico"}]}';
const CHAINED = '{"name":"n","plugins":[{"type":"calico"},{"type":"istio-cni"}]}';
const DESIRED: DesiredInstall = {
  entry: { type: "istio-cni" },
  mode: "chained",
  confName: undefined,
  ownedName: "02-istio-cni.conflist",
  settleMs: 0,
};

function viewOf(files: Readonly<Record<string, string>>): HostView {
  const confs = Object.entries(files).map(([name, text]) => {
    return { name, content: { bytes: new TextEncoder().encode(text) }, unchangedMs: 1000 };
  });
  return {
    pluginUnavailable: undefined,
    netDir: { path: "/net.d", files: confs, backups: new Map() },
    binDirs: [{ path: "/bin", plugin: "current" }],
  };
}

/** Our entry was seen, taken out and put back so often, a second apart. */
function fought(times: number, policy: FightPolicy) {
  let life: ConflistLife = look(NEW_LIFE, viewOf({ "10-x.conflist": CHAINED }), DESIRED, policy, 0).life;
  let notices = 0;
  let nowMs = 0;
  for (let time = 0; time < times; time++) {
    nowMs += 1000;
    const looked = look(life, viewOf({ "10-x.conflist": LIST }), DESIRED, policy, nowMs);
    const after = acted(looked, "done", policy, nowMs);
    notices += after.notice === undefined ? 0 : 1;
    life = look(after.life, viewOf({ "10-x.conflist": CHAINED }), DESIRED, policy, nowMs).life;
  }
  return { life, notices, nowMs };
}

describe("the life of the conflist", () => {
  it("takes no first install and no change of our own for a fight", () => {
    const looked = look(NEW_LIFE, viewOf({ "10-x.conflist": LIST }), DESIRED, "keep", 0);
    assert.deepEqual([looked.lost, looked.next], [undefined, { kind: "act" }]);
    assert.equal(acted(looked, "done", "keep", 0).life.rewrites, 0);
  });

  it("names who took our entry out by file and first plugin", () => {
    const { life, nowMs } = fought(1, "keep");
    const { lost } = look(life, viewOf({ "10-x.conflist": LIST }), DESIRED, "keep", nowMs + 5000);
    assert.deepEqual([lost?.name, lost?.writer], ["10-x.conflist", "the writer of 10-x.conflist (calico)"]);
  });

  it("tells a person once in a burst, slows down, and forgets after a quiet minute", () => {
    const { life, notices, nowMs } = fought(8, "keep");
    assert.deepEqual([notices, life.rewrites, isFighting(life, nowMs)], [1, 8, true]);
    const again = look(life, viewOf({ "10-x.conflist": LIST }), DESIRED, "keep", nowMs + 10);
    assert.equal(again.next.kind, "pause");
    assert.equal(isFighting(life, nowMs + 61_000), false);
  });

  it("knows a writer that is faster than our next look, and keeps to one rewrite a second", () => {
    let life: ConflistLife = NEW_LIFE;
    let notices = 0;
    const rewrites: number[] = [];
    for (let nowMs = 0; nowMs < 30_000; ) {
      const looked = look(life, viewOf({ "10-x.conflist": LIST }), DESIRED, "keep", nowMs);
      let { next } = looked;
      if (next.kind === "act") {
        rewrites.push(nowMs);
        const after = acted(looked, "done", "keep", nowMs);
        ({ life, next } = after);
        notices += after.notice === undefined ? 0 : 1;
      }
      nowMs += Math.max(1, "ms" in next ? (next.ms ?? 0) : 0);
    }
    assert.deepEqual([notices, isFighting(life, 30_000), life.rewrites], [1, true, rewrites.length - 1]);
    const late = rewrites.filter((ms) => ms >= 10_000);
    assert.ok(late.length >= 19 && late.length <= 20, `${late.length} rewrites in 20 s`);
  });

  it("concedes the file for a while, puts right all else meanwhile, and then tries again", () => {
    const { life, nowMs } = fought(6, "concede");
    const view = viewOf({ "10-x.conflist": LIST });
    const conceded = look(life, view, DESIRED, "concede", nowMs + 1);
    assert.deepEqual([conceded.decision.state, conceded.decision.steps], ["blocked", []]);
    const without = look(
      life,
      { ...view, binDirs: [{ path: "/bin", plugin: "absent" }] },
      DESIRED,
      "concede",
      nowMs + 1,
    );
    assert.deepEqual(without.decision.steps, [{ kind: "copy-plugin", dir: "/bin" }]);
    assert.deepEqual(look(life, view, DESIRED, "concede", nowMs + CONCEDED_FOR_MS).next, { kind: "act" });
  });

  it("moves to a file of its own, and stays there in its next life", () => {
    const { life, nowMs } = fought(6, "own");
    const moved = look(life, viewOf({ "10-x.conflist": LIST }), DESIRED, "own", nowMs + 1);
    assert.deepEqual(
      moved.decision.steps.map((step) => ("name" in step ? [step.kind, step.name] : step)),
      [["write-conf", "02-istio-cni.conflist"]],
    );
    const next = viewOf({ "10-x.conflist": LIST, "02-istio-cni.conflist": CHAINED });
    assert.equal(look(NEW_LIFE, next, DESIRED, "own", 0).decision.state, "installed");
    assert.equal(look(NEW_LIFE, next, DESIRED, "keep", 0).decision.state, "changing");
  });

  it("waits longer after each failure, and not after a race", () => {
    const looked = look(NEW_LIFE, viewOf({ "10-x.conflist": LIST }), DESIRED, "keep", 0);
    const first = acted(looked, "failed", "keep", 0);
    const second = acted({ ...looked, life: first.life }, "failed", "keep", 0);
    assert.deepEqual(first.next, { kind: "pause", ms: 250, isSpread: true });
    assert.deepEqual(second.next, { kind: "pause", ms: 500, isSpread: true });
    assert.deepEqual(acted({ ...looked, life: second.life }, "raced", "keep", 0).next, {
      kind: "pause",
      ms: 0,
      isSpread: false,
    });
  });
});
