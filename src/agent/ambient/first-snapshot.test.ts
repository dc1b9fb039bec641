// What ztunnel is told before its first snapshot, which stops whoever is not in it: enrolment.ts, declareRunning.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeMesh } from "../../../testbed/fake-mesh.ts";

const ENABLED = { "ambient.istio.io/redirection": "enabled" };

describe("createEnrolment(), before the first snapshot", () => {
  it("declares everything that was in before the first snapshot, by name where its namespace is not found", async () => {
    const mesh = new FakeMesh();
    mesh.addPod("found", ENABLED);
    mesh.isVerifierStuck = true;
    const lost = mesh.addPod("lost", ENABLED);
    mesh.netns.set("uid-of-found", 7n);
    const enrolment = mesh.start({ firstSnapshotMs: 1000 });
    await mesh.advance(999);
    assert.equal(mesh.hasAdmitted, false);
    await mesh.advance(100);
    assert.deepEqual(mesh.done.slice(0, 3), ["declare found", "declare lost by name", "admit"]);
    assert.equal(enrolment.record(lost.uid)?.state, "enrolling");
    mesh.isVerifierStuck = false;
    await mesh.advance(20_000);
    assert.ok(mesh.done.includes("declare lost"), "it is told with its namespace once that is found");
    await mesh.end();
  });

  it("declares before the first snapshot who is on the way out, and of whose namespace nobody knows yet", async () => {
    const mesh = new FakeMesh();
    for (const name of ["leaving", "undecided", "over"]) {
      const { uid } = mesh.addPod(name, ENABLED);
      mesh.netns.set(uid, 7n);
      mesh.rules.add(uid);
    }
    mesh.out.add("leaving");
    mesh.unknown.add("undecided");
    mesh.show("update", { ...mesh.addPod("over", ENABLED), phase: "Succeeded" });
    mesh.start();
    await mesh.advance(100);
    assert.deepEqual(mesh.done.slice(0, 3), ["declare leaving", "declare undecided", "admit"]);
    await mesh.end();
  });

  it("declares before the first snapshot who is shown while others' namespaces are looked for", async () => {
    const mesh = new FakeMesh();
    mesh.isVerifierStuck = true;
    mesh.addPod("lost", ENABLED);
    mesh.start({ firstSnapshotMs: 1000 });
    await mesh.advance(500);
    mesh.addPod("late", ENABLED);
    await mesh.advance(600);
    assert.deepEqual(mesh.done.slice(0, 3), ["declare lost by name", "declare late by name", "admit"]);
    await mesh.end();
  });

  it("keeps no first snapshot for a pod whose ADD is under way: that brings the namespace, and waits for the snapshot", async () => {
    const mesh = new FakeMesh();
    mesh.isVerifierStuck = true;
    const { uid } = mesh.addPod("interrupted", ENABLED);
    const enrolment = mesh.start({ firstSnapshotMs: 60_000 });
    await mesh.advance(100);
    assert.equal(mesh.hasAdmitted, false);
    using _starting = enrolment.starting(uid);
    await mesh.advance(100);
    assert.deepEqual(mesh.done, ["declare interrupted by name", "admit"]);
    await mesh.end();
  });

  it("keeps no first snapshot for a pod that is being deleted, or was meanwhile: its namespace may be gone", async () => {
    const mesh = new FakeMesh();
    mesh.isVerifierStuck = true;
    mesh.show("update", { ...mesh.addPod("going", ENABLED), deletionTimestamp: "2026-11-23T00:00:00Z" });
    const gone = mesh.addPod("gone", ENABLED);
    mesh.start({ firstSnapshotMs: 60_000 });
    await mesh.advance(100);
    assert.equal(mesh.hasAdmitted, false);
    mesh.show("delete", gone);
    await mesh.advance(100);
    assert.deepEqual(mesh.done, ["declare going by name", "admit"]);
    await mesh.end();
  });

  it("keeps no first snapshot for a pod whose namespace was looked for in vain", async () => {
    const mesh = new FakeMesh();
    mesh.lost.add("lost");
    mesh.addPod("lost", ENABLED);
    mesh.addPod("found", ENABLED);
    mesh.start({ firstSnapshotMs: 60_000 });
    await mesh.advance(100);
    const told = mesh.done.filter((line) => /declare|admit/.test(line));
    assert.deepEqual(told, ["declare lost by name", "declare found", "admit"]);
    await mesh.end();
  });

  it("serves the others when one that was in cannot be told", async () => {
    const mesh = new FakeMesh();
    const bad = mesh.addPod("bad", ENABLED);
    const good = mesh.addPod("good", ENABLED);
    for (const { uid } of [bad, good]) mesh.rules.add(uid);
    mesh.unspeakable.add("bad");
    const enrolment = mesh.start({ firstSnapshotMs: 100 });
    await mesh.advance(10_000);
    assert.ok(mesh.hasAdmitted);
    assert.equal(enrolment.record(good.uid)?.state, "enrolled");
    assert.partialDeepStrictEqual(enrolment.record(bad.uid), { state: "failed", failedStep: "tell-ztunnel" });
    await mesh.end();
  });
});
