import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePod } from "../../core/kube/pod.ts";
import type { Logger } from "../../core/log.ts";
import type { EnrolmentRecord } from "./enrolment-record.ts";
import { createEnrolmentTeller, newTold } from "./enrolment-teller.ts";

const POD = parsePod({
  metadata: { name: "web", namespace: "shop", uid: "u1", resourceVersion: "1" },
  spec: {},
  status: { phase: "Running", podIPs: [{ ip: "10.0.0.1" }] },
});

const recordOf = (state: EnrolmentRecord["state"], wanted: "in" | "out"): EnrolmentRecord =>
  ({ state, reason: "pod-label", facts: { wanted } }) as unknown as EnrolmentRecord;

function createScene(isKnownIn: boolean) {
  const lines: string[] = [];
  const events: string[] = [];
  const say = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  const log: Logger = {
    debug: say("debug"),
    info: say("info"),
    warn: say("warn"),
    error: say("error"),
    scope: () => log,
  };
  const teller = createEnrolmentTeller({ recordEvent: ({ reason }) => void events.push(reason), nowMs: () => 0, log });
  const told = newTold(isKnownIn);
  return {
    look: (before: EnrolmentRecord["state"], now: EnrolmentRecord["state"], wanted: "in" | "out" = "in") => {
      lines.length = 0;
      events.length = 0;
      teller.looked(POD, told, recordOf(before, wanted), recordOf(now, wanted));
      return [lines.filter((line) => !line.startsWith("debug")), [...events]];
    },
  };
}

describe("createEnrolmentTeller()", () => {
  it("says nothing more at info of a pod whose ADD was logged, or that was in before this agent", () => {
    const scene = createScene(true);
    assert.deepEqual(scene.look("waiting", "enrolling"), [[], []]);
    assert.deepEqual(scene.look("enrolling", "enrolled"), [[], []]);
  });

  it("says once that a running pod came in, and once that it has left", () => {
    const scene = createScene(false);
    assert.deepEqual(scene.look("waiting", "enrolling"), [[], []]);
    assert.deepEqual(scene.look("enrolling", "enrolled"), [["info Pod is in the ambient mesh"], ["AmbientEnrolled"]]);
    assert.deepEqual(scene.look("enrolled", "enrolled"), [[], []]);
    assert.deepEqual(scene.look("enrolled", "leaving", "out"), [[], []]);
    assert.deepEqual(scene.look("leaving", "out", "out"), [
      ["info Pod has left the ambient mesh"],
      ["AmbientReleased"],
    ]);
  });
});
