import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeNode } from "../../../testbed/fake-node.ts";
import { type IpAddress, parseIpAddress } from "../../core/address.ts";
import { decideAmbientFamilies } from "../../core/policy/ambient-families.ts";
import type { RulesWish } from "../../core/policy/rules-wish.ts";
import type { AmbientCapture } from "../../core/rules/ambient-capture.ts";
import type { VerifiedAmbient } from "./ambient-rules.ts";

function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (address === undefined) throw new Error(`no address: ${text}`);
  return address;
}

const PLAN: Omit<AmbientCapture, "families"> = {
  mode: "ambient",
  captureInbound: true,
  captureDns: true,
  virtualInterfaces: [],
  probeSource: { v4: ip("169.254.7.127"), v6: ip("fd16:9254:7127:1337:ffff:ffff:ffff:ffff") },
};

/** Ambient mode with one wish for all pods, and what it was told. */
class FakeAmbient implements VerifiedAmbient {
  wish: RulesWish = { kind: "none", reason: "not-selected" };
  readonly told: string[] = [];
  readonly anyCapture: AmbientCapture = { ...PLAN, families: { v4: true, v6: true } };
  wishFor = () => this.wish;
  decideFamilies = (addresses: readonly IpAddress[]) => decideAmbientFamilies(addresses, { ipv6: true, strict: false });
  inPlace = ({ name }: { name: string }) => void this.told.push(`in place ${name}`);
  released = ({ name }: { name: string }) => void this.told.push(`released ${name}`);
  settled = (uid: string) => void this.told.push(`settled ${uid}`);

  capture(whyNotYet?: string, change: Partial<AmbientCapture> = {}): void {
    this.wish = { kind: "capture", reason: "pod-label", plan: { ...PLAN, ...change }, whyNotYet };
  }
}

describe("createVerifier() in ambient mode", () => {
  it("looks and writes nothing before ztunnel has taken a pod, then captures it without an Event", async () => {
    const { node, ambient, verifier } = start();
    ambient.capture("ztunnel has not taken the pod yet");
    const { uid } = node.addPod("web");
    await node.advance(100);
    assert.equal(verifier.record(uid)?.state, "uncaptured");
    assert.equal(node.asked.includes("apply web"), false);
    ambient.capture();
    verifier.request(uid);
    await node.advance(100);
    assert.equal(verifier.record(uid)?.state, "verified");
    assert.equal(verifier.record(uid)?.decidedBy, "labels");
    assert.deepEqual(node.events, []);
    assert.deepEqual(node.counted, []);
    assert.ok(ambient.told.includes("in place web"));
    assert.equal(ambient.told.at(-1), `settled ${uid}`);
    await node.end();
  });

  it("repairs what was altered, and says so", async () => {
    const { node, ambient, verifier } = start();
    ambient.capture();
    const pod = node.addPod("web");
    await node.advance(100);
    node.write(pod, undefined, { pid: 7, program: "nft" });
    await node.advance(100);
    assert.equal(verifier.record(pod.uid)?.state, "repaired");
    assert.match(node.events.join(), /web RedirectionRepaired: .*altered \(by nft, pid 7\)/);
    await node.end();
  });

  it("follows a change of what is wanted, although the kernel tells of none", async () => {
    const { node, ambient, verifier } = start();
    ambient.capture();
    const pod = node.addPod("web");
    await node.advance(100);
    ambient.capture(undefined, { captureDns: false });
    node.show("update", pod);
    await node.advance(100);
    const desired = verifier.record(pod.uid)?.desired;
    assert.equal(desired?.mode === "ambient" && desired.captureDns, false);
    assert.equal(node.asked.filter((what) => what.startsWith("apply web")).length, 2);
    assert.deepEqual(node.events, []);
    await node.end();
  });

  it("takes the rules of a pod out that has left, tries again where that fails, and lets go of its namespace", async () => {
    const { node, ambient, verifier } = start();
    ambient.capture();
    const pod = node.addPod("web");
    await node.advance(100);
    ambient.wish = { kind: "release", reason: "not-selected" };
    node.applyFailure = "EPERM";
    verifier.request(pod.uid);
    await node.advance(100);
    assert.equal(verifier.record(pod.uid)?.state, "unverifiable");
    node.applyFailure = undefined;
    await node.advance(5000);
    assert.equal(verifier.record(pod.uid)?.state, "out");
    assert.equal(node.namespaces.get(pod.uid)?.capture, undefined);
    assert.ok(ambient.told.includes("released web"));
    assert.equal(node.sockets.size, 0);
    await node.end();
  });

  it("redirects nothing new at once, and takes the rest away when the last connection is finished", async () => {
    const { node, ambient, verifier } = start();
    const pod = await captured(node, ambient);
    node.netnsOf(pod).connections = 2;
    ambient.wish = { kind: "release", reason: "not-selected" };
    verifier.request(pod.uid);
    await node.advance(60_000);
    assert.equal(verifier.record(pod.uid)?.state, "out");
    assert.deepEqual(verifier.record(pod.uid)?.finishing, { connections: 2, sinceMs: 1_000_100 });
    assert.equal(node.asked.includes("remove web"), false);
    assert.equal(ambient.told.includes("released web"), false, "a later agent has to know of it");
    node.netnsOf(pod).connections = 0;
    await node.advance(5000);
    assert.equal(verifier.record(pod.uid)?.finishing, undefined);
    assert.equal(node.asked.filter((what) => what === "remove web").length, 1);
    assert.equal(ambient.told.filter((what) => what === "released web").length, 1);
    await node.end();
  });

  it("waits for connections that never end so long and no longer, and half a minute where they cannot be seen", async () => {
    for (const [connections, limitMs] of [
      [1, 300_000],
      [undefined, 30_000],
    ] as const) {
      const { node, ambient, verifier } = start();
      const pod = await captured(node, ambient);
      node.netnsOf(pod).connections = connections;
      ambient.wish = { kind: "release", reason: "not-selected" };
      verifier.request(pod.uid);
      await node.advance(limitMs - 1000);
      assert.equal(node.asked.includes("remove web"), false);
      await node.advance(5000);
      assert.ok(node.asked.includes("remove web"), String(connections));
      await node.end();
    }
  });

  it("goes on where an agent before it stopped, and has nothing to wait for where nothing is open", async () => {
    const { node, ambient, verifier } = start();
    ambient.wish = { kind: "release", reason: "not-selected" };
    const pod = node.addPod("web");
    Object.assign(node.netnsOf(pod), { capture: ambient.anyCapture, isDetached: true });
    await node.advance(10);
    assert.deepEqual(node.asked, ["release web", "remove web"]);
    assert.equal(verifier.record(pod.uid)?.finishing, undefined);
    await node.end();
  });

  it("captures a pod again that comes back before it has finished, and begins anew when it leaves again", async () => {
    const { node, ambient, verifier } = start();
    const pod = await captured(node, ambient);
    node.netnsOf(pod).connections = 1;
    ambient.wish = { kind: "release", reason: "not-selected" };
    verifier.request(pod.uid);
    await node.advance(299_000);
    ambient.capture();
    verifier.request(pod.uid);
    await node.advance(100);
    assert.equal(verifier.record(pod.uid)?.state, "verified");
    assert.equal(verifier.record(pod.uid)?.finishing, undefined);
    assert.equal(node.netnsOf(pod).isDetached, false);
    ambient.wish = { kind: "release", reason: "not-selected" };
    verifier.request(pod.uid);
    await node.advance(100_000);
    assert.equal(node.asked.includes("remove web"), false);
    await node.end();
  });

  it("leaves alone what nobody can decide on, and goes on as in sidecar mode where ambient mode has no wish", async () => {
    const { node, ambient, verifier } = start();
    ambient.wish = { kind: "hold", reason: "namespace-unknown" };
    const held = node.addPod("held");
    await node.advance(100);
    assert.equal(verifier.record(held.uid)?.state, "waiting");
    ambient.wish = { kind: "none", reason: "sidecar-present" };
    const sidecar = node.addPod("sidecar");
    await node.advance(100);
    assert.equal(verifier.record(sidecar.uid)?.desired?.mode, "REDIRECT");
    await node.end();
  });
});

/** A pod that is in, and has been looked at. */
async function captured(node: FakeNode, ambient: FakeAmbient) {
  ambient.capture();
  const pod = node.addPod("web");
  await node.advance(100);
  return pod;
}

function start() {
  const node = new FakeNode();
  const ambient = new FakeAmbient();
  node.ambient = ambient;
  const verifier = node.start();
  return { node, ambient, verifier };
}
