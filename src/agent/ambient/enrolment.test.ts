import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeMesh } from "../../../testbed/fake-mesh.ts";
import { KubeApiError } from "../../core/kube/kube-api-error.ts";

const ENABLED = { "ambient.istio.io/redirection": "enabled" };

/** A pod that is wholly in, and an agent that has seen it so. */
async function enrolled() {
  const mesh = new FakeMesh();
  const pod = mesh.addPod("web", ENABLED);
  mesh.wasIn.add(pod.uid);
  mesh.rules.add(pod.uid);
  const enrolment = mesh.start();
  await mesh.advance(1000);
  assert.equal(enrolment.record(pod.uid)?.state, "enrolled");
  mesh.done.length = 0;
  return { mesh, pod, enrolment };
}

describe("createEnrolment()", () => {
  it("brings a running pod in: ztunnel first, then rules, then the annotation", async () => {
    const mesh = new FakeMesh();
    const enrolment = mesh.start();
    await mesh.settle();
    const { uid } = mesh.addPod("web");
    await mesh.advance(1000);
    assert.deepEqual(mesh.done, [
      "admit",
      "find web",
      "list web 10.0.0.5",
      "declare web",
      "capture web",
      "annotate web enabled",
    ]);
    assert.equal(enrolment.record(uid)?.state, "enrolled");
    await mesh.advance(300_000);
    assert.equal(mesh.done.length, 6, "nothing is done twice");
    await mesh.end();
  });

  it("takes a pod out whose namespace lost its label: rules first, then ztunnel, probes and annotation", async () => {
    const { mesh, pod, enrolment } = await enrolled();
    mesh.out.add("web");
    mesh.relabel();
    await mesh.advance(1000);
    assert.deepEqual(mesh.done, ["release web", "withdraw web", "unlist web", "annotate web none"]);
    assert.equal(enrolment.record(pod.uid)?.state, "out");
    await mesh.end();
  });

  it("tells ztunnel of a pod's namespace although its annotation cannot be written", async () => {
    const mesh = new FakeMesh();
    mesh.isVerifierStuck = true;
    const { uid } = mesh.addPod("web");
    mesh.wasIn.add(uid);
    mesh.rules.add(uid);
    mesh.failing.set("annotate", new Error("503"));
    const enrolment = mesh.start({ firstSnapshotMs: 1000 });
    await mesh.advance(2000);
    assert.deepEqual(mesh.done, ["declare web by name", "admit"]);
    mesh.isVerifierStuck = false;
    await mesh.advance(60_000);
    assert.deepEqual(mesh.done.slice(2), ["find web", "list web 10.0.0.5", "declare web"]);
    assert.equal(mesh.workloads.get(uid)?.state, "served");
    assert.partialDeepStrictEqual(enrolment.record(uid), { state: "failed", failedStep: "annotate" });
    await mesh.end();
  });

  it("takes a pod for there that was added before the watch has shown it, until it is shown or was never", async () => {
    const mesh = new FakeMesh();
    const enrolment = mesh.start();
    await mesh.settle();
    const pod = mesh.addPod("early");
    const never = mesh.addPod("never");
    for (const { uid } of [pod, never]) {
      mesh.pods.delete(uid);
      mesh.netns.set(uid, 7n);
      mesh.rules.add(uid);
      mesh.listed.set(uid, [{ family: 4, bytes: Uint8Array.of(10, 0, 0, 5) }]);
      mesh.workloads.set(uid, { state: "served", netns: { dev: 4n, ino: 7n } });
    }
    enrolment.added(pod);
    enrolment.added(never);
    mesh.isWatchCurrent = false;
    await mesh.advance(1000);
    mesh.tellZtunnel();
    // As long as the API is away, however long that is.
    await mesh.advance(3_600_000);
    mesh.isWatchCurrent = true;
    assert.deepEqual(
      mesh.done.filter((what) => /^(withdraw|unlist)/.test(what)),
      [],
    );
    mesh.show("add", pod);
    await mesh.advance(10_000);
    assert.equal(enrolment.record(pod.uid)?.state, "enrolled");
    assert.deepEqual(mesh.events, [], "a start is no news");
    mesh.show("delete", pod);
    await mesh.advance(400_000);
    assert.deepEqual(mesh.done.filter((what) => /^(withdraw|unlist)/.test(what)).toSorted(), [
      "unlist early",
      "unlist never",
      "withdraw early",
      "withdraw never",
    ]);
    assert.deepEqual(enrolment.records(), []);
    await mesh.end();
  });

  it("waits no longer for a pod that was never shown once its sandbox has gone, unless the watch itself is away", async () => {
    const mesh = new FakeMesh();
    const enrolment = mesh.start();
    await mesh.settle();
    const pod = mesh.addPod("early");
    mesh.pods.delete(pod.uid);
    mesh.listed.set(pod.uid, [{ family: 4, bytes: Uint8Array.of(10, 0, 0, 5) }]);
    enrolment.added(pod);
    mesh.isWatchCurrent = false;
    enrolment.removed(pod.uid);
    enrolment.removed("nobody");
    await mesh.advance(3_600_000);
    assert.ok(!mesh.done.includes("unlist early"), "its sandbox may be made again");
    enrolment.added(pod);
    mesh.isWatchCurrent = true;
    await mesh.advance(60_000);
    assert.ok(!mesh.done.includes("unlist early"), "it has a sandbox");
    enrolment.removed(pod.uid);
    await mesh.advance(1000);
    assert.ok(mesh.done.includes("unlist early"));
    assert.deepEqual(enrolment.records(), []);
    await mesh.end();
  });

  it("leaves a pod alone while its ADD is under way, whatever happens, and looks at it afterwards", async () => {
    const { mesh, pod } = await enrolled();
    const enrolment = mesh.enrolment;
    assert.ok(enrolment !== undefined);
    const stranger = "uid-of-stranger";
    mesh.workloads.set(stranger, { state: "waiting", netns: undefined });
    const adds = [enrolment.starting(pod.uid), enrolment.starting(pod.uid), enrolment.starting(stranger)];
    mesh.workloads.set(pod.uid, { state: "waiting", netns: { dev: 4n, ino: 99n } });
    mesh.tellZtunnel();
    mesh.show("update", { ...pod, labels: { changed: "true" } });
    await mesh.advance(100_000);
    assert.deepEqual(mesh.done, []);
    adds[0]?.[Symbol.dispose]();
    adds[0]?.[Symbol.dispose]();
    await mesh.advance(100_000);
    assert.deepEqual(mesh.done, [], "the other one is still under way");
    for (const add of adds) add[Symbol.dispose]();
    await mesh.advance(1000);
    assert.deepEqual(mesh.done.toSorted(), ["declare web", "withdraw stranger"]);
    await mesh.end();
  });

  it("goes on with the others when something that it asks throws", async () => {
    const mesh = new FakeMesh();
    mesh.start();
    await mesh.settle();
    mesh.throwing.add("bad");
    mesh.addPod("bad");
    const { uid } = mesh.addPod("good");
    await mesh.advance(1000);
    assert.equal(mesh.enrolment?.record(uid)?.state, "enrolled");
    assert.ok(mesh.logged.some((line) => line.startsWith("error")));
    mesh.throwing.clear();
    await mesh.advance(60_000);
    assert.equal(mesh.enrolment?.record("uid-of-bad")?.state, "enrolled");
    await mesh.end();
  });

  it("concludes nothing while the namespace of a pod is not known", async () => {
    const { mesh, pod, enrolment } = await enrolled();
    mesh.unknown.add("web");
    mesh.relabel();
    await mesh.advance(300_000);
    assert.deepEqual(mesh.done, []);
    assert.equal(enrolment.record(pod.uid)?.waits, "unknown-namespace");
    assert.equal(enrolment.wishFor(pod).kind, "hold");
    await mesh.end();
  });

  it("does not redirect a running pod while ztunnel says nothing, and does as soon as it speaks", async () => {
    const mesh = new FakeMesh();
    mesh.isSilent = true;
    const enrolment = mesh.start();
    const { uid } = mesh.addPod("web");
    await mesh.advance(300_000);
    assert.equal(mesh.rules.has(uid), false);
    assert.equal(enrolment.record(uid)?.waits, "ztunnel-silent");
    const workload = mesh.workloads.get(uid);
    if (workload !== undefined) workload.state = "served";
    mesh.tellZtunnel({ uid });
    await mesh.advance(1000);
    assert.equal(enrolment.record(uid)?.state, "enrolled");
    await mesh.end();
  });

  it("keeps a pod in and its annotation while ztunnel is away, and takes the claim back when ztunnel refuses", async () => {
    const { mesh, pod } = await enrolled();
    mesh.isConnected = false;
    const workload = mesh.workloads.get(pod.uid);
    if (workload !== undefined) workload.state = "waiting";
    mesh.tellZtunnel();
    await mesh.advance(300_000);
    assert.deepEqual(mesh.done, []);
    mesh.isConnected = true;
    if (workload !== undefined) workload.state = "refused";
    mesh.tellZtunnel({ uid: pod.uid });
    await mesh.advance(1000);
    assert.deepEqual(mesh.done, ["annotate web pending"]);
    await mesh.end();
  });

  it("forgets a pod that ends, in whatever order it is told", async () => {
    for (const how of ["deleted", "finished"] as const) {
      const { mesh, pod, enrolment } = await enrolled();
      if (how === "deleted") mesh.show("delete", pod);
      else mesh.show("update", { ...pod, phase: "Succeeded", podIps: [] });
      await mesh.advance(1000);
      const annotate = how === "deleted" ? [] : ["annotate web none"];
      assert.deepEqual(mesh.done, ["withdraw web", "unlist web", ...annotate], how);
      assert.equal(enrolment.record(pod.uid)?.state, how === "deleted" ? undefined : "out");
      await mesh.end();
    }
  });

  it("forgets pods whose end nobody told of", async () => {
    const mesh = new FakeMesh();
    mesh.listed.set("uid-of-gone", []);
    mesh.listed.set("uid-of-lost", [{ family: 4, bytes: Uint8Array.of(10, 0, 0, 9) }]);
    mesh.workloads.set("uid-of-gone", { state: "served", netns: undefined });
    mesh.start();
    await mesh.advance(1000);
    assert.deepEqual(mesh.done.toSorted(), ["admit", "unlist lost", "withdraw gone"]);
    await mesh.end();
  });

  it("lists probes again that somebody has flushed, and follows a change of the pod's address", async () => {
    const { mesh, pod } = await enrolled();
    mesh.disturbProbes();
    await mesh.advance(100);
    mesh.show("update", { ...pod, podIps: ["10.0.0.6"] });
    await mesh.advance(100);
    assert.deepEqual(mesh.done, ["list web 10.0.0.5", "list web 10.0.0.6"]);
    await mesh.end();
  });

  it("tries again what failed, less and less often, tells of it three times, and holds nobody else up", async () => {
    const mesh = new FakeMesh();
    mesh.failing.set("annotate", new KubeApiError("KUBE_API_TRANSPORT", "Cannot patch the pod: connection refused"));
    const enrolment = mesh.start();
    const pods = ["a", "b", "c"].map((name) => mesh.addPod(name));
    await mesh.advance(120_000);
    for (const { uid } of pods) {
      assert.equal(enrolment.record(uid)?.state, "failed");
      assert.equal(enrolment.record(uid)?.failedStep, "annotate");
      assert.ok(mesh.rules.has(uid), "captured all the same");
    }
    assert.equal(mesh.logged.filter((line) => line.startsWith("warn")).length, 9);
    mesh.failing.clear();
    await mesh.advance(60_000);
    for (const { uid } of pods) assert.equal(enrolment.record(uid)?.state, "enrolled");
    await mesh.end();
  });

  it("brings a pod in whose probes cannot be exempted, and goes on trying that", async () => {
    const mesh = new FakeMesh();
    mesh.failing.set("list", new Error("no ipset in this kernel"));
    const enrolment = mesh.start();
    const { uid } = mesh.addPod("web");
    await mesh.advance(10_000);
    assert.ok(mesh.rules.has(uid));
    assert.ok(mesh.done.includes("annotate web enabled"));
    assert.equal(enrolment.record(uid)?.failedStep, "list-probes");
    mesh.failing.clear();
    await mesh.advance(60_000);
    assert.equal(enrolment.record(uid)?.state, "enrolled");
    await mesh.end();
  });

  it("tells a pod that is late once, and when it is in after all; what a start or the node tells is not repeated", async () => {
    const mesh = new FakeMesh();
    mesh.isConnected = false;
    mesh.start();
    mesh.addPod("web");
    mesh.addPod("young", {}, []);
    const { uid } = mesh.addPod("was-in", ENABLED);
    mesh.rules.add(uid);
    await mesh.advance(29_000);
    assert.equal(mesh.events.length, 0);
    await mesh.advance(600_000);
    assert.deepEqual(mesh.events, [
      "Warning AmbientEnrolmentDelayed web: This pod should be in the ambient mesh and is not wholly in it: no ztunnel is connected on this node",
    ]);
    mesh.isConnected = true;
    for (const workload of mesh.workloads.values()) workload.state = "served";
    mesh.tellZtunnel();
    await mesh.advance(1000);
    mesh.out.add("was-in");
    mesh.relabel();
    await mesh.advance(1000);
    assert.deepEqual(
      mesh.events.slice(1).map((event) => event.split(":")[0]),
      ["Normal AmbientEnrolled web", "Normal AmbientReleased was-in"],
    );
    await mesh.end();
  });

  it("says once of each pod that its annotation is wrong and may not be changed", async () => {
    const { mesh, pod } = await enrolled();
    const forbidden = new KubeApiError("KUBE_API_STATUS", "Cannot patch the pod", { status: 403, reason: "Forbidden" });
    mesh.failing.set("annotate", forbidden);
    mesh.out.add("web");
    mesh.relabel();
    await mesh.advance(3_600_000);
    assert.equal(mesh.rules.has(pod.uid), false, "the rules do not wait for a right");
    assert.equal(mesh.events.length, 1);
    assert.match(mesh.events[0] ?? "", /^Warning AmbientAnnotationStale web: .*kubectl annotate pod -n shop web/);
    assert.ok(mesh.logged.filter((line) => line.startsWith("error")).length === 1);
    await mesh.end();
  });

  it("measures by the monotonic clock: the wall clock may jump", async () => {
    const { mesh, pod, enrolment } = await enrolled();
    for (const jumpMs of [10 * 365 * 86_400_000, -20 * 365 * 86_400_000]) {
      mesh.wallJumpMs = jumpMs;
      mesh.disturbProbes();
      await mesh.advance(600_000);
      assert.deepEqual(mesh.done, ["list web 10.0.0.5"]);
      mesh.done.length = 0;
    }
    assert.equal(enrolment.record(pod.uid)?.state, "enrolled");
    assert.deepEqual(mesh.events, []);
    await mesh.end();
  });

  it("does not ask the verifier without end for what it cannot do", async () => {
    const { mesh, pod } = await enrolled();
    mesh.rules.delete(pod.uid);
    mesh.isVerifierStuck = true;
    mesh.requests = 0;
    mesh.show("update", { ...pod });
    await mesh.advance(60_000);
    assert.ok(mesh.requests >= 2 && mesh.requests <= 14, `${mesh.requests} times`);
    assert.deepEqual(
      mesh.done.filter((what) => what.startsWith("annotate")),
      ["annotate web pending"],
    );
    await mesh.end();
  });
});
