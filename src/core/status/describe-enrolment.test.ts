import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsOfZtunnel } from "./describe-enrolment.ts";

const LIVE = { phase: "live", isPrimary: false, workloads: 1 } as const;

test("wordsOfZtunnel() tells of each connection, and of a process that cannot be seen from here without inventing its number", () => {
  assert.equal(
    wordsOfZtunnel({ isConnected: true, workloads: 1, connections: [{ ...LIVE, pid: 0, isPrimary: true }] }),
    "connected, 1 pod: one in a namespace of its own serves 1, gets new pods",
  );
  const two = [
    { ...LIVE, pid: 11, workloads: 2 },
    { ...LIVE, pid: 12, phase: "snapshot", isPrimary: true },
  ];
  assert.equal(
    wordsOfZtunnel({ isConnected: true, workloads: 2, connections: two }),
    "connected, 2 pods: pid 11 serves 2; pid 12 snapshot, gets new pods",
  );
  assert.equal(
    wordsOfZtunnel({ isConnected: false, workloads: 1, connections: [] }),
    "not connected; waiting for it: 1 pod",
  );
});
