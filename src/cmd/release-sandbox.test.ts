import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeNode } from "../agent/netns/testing.ts";
import { releaseSandbox } from "./release-sandbox.ts";

/** A node that holds pod `u1` with its sandbox `c1`. */
function createScene() {
  const node = new FakeNode();
  const netns = node.createRegistry();
  const told: string[] = [];
  const holders = {
    netns,
    verifier: { record: () => undefined, sandboxRemoved: (uid?: string) => void told.push(`verifier ${uid}`) },
    ambient: { removed: (uid: string, { ino }: { ino: bigint }) => void told.push(`ambient ${uid} ${ino}`) },
  };
  const adopt = (containerId: string, ino: bigint) => {
    using given = node.openNetns(ino);
    netns.adopt("u1", containerId, given.fd);
  };
  adopt("c1", 77n);
  return { node, told, adopt, holders };
}

test("releaseSandbox() tells ambient mode by which UID and in which namespace the pod was held", () => {
  const { node, told, holders } = createScene();
  releaseSandbox("c1", holders);
  assert.deepEqual(told, ["verifier undefined", "ambient u1 77"]);
  assert.equal(node.open.size, 0);
});

test("releaseSandbox() leaves the pod's newer sandbox in the mesh when the older one's DEL comes late", () => {
  const { told, adopt, holders } = createScene();
  adopt("c2", 78n);
  releaseSandbox("c1", holders);
  assert.deepEqual(told, ["verifier undefined"]);
  releaseSandbox("c2", { ...holders, ambient: undefined });
  assert.deepEqual(told, ["verifier undefined", "verifier undefined"]);
});
