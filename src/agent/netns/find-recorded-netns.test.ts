import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NetnsIdentity } from "../../core/netns/netns-id.ts";
import { findRecordedNetns } from "./find-recorded-netns.ts";
import { AGENT_INO, cgroupOf, FakeNode, fakePod, NODE_INO, NSFS } from "./testing.ts";

const OPTIONS = { forbidden: [{ dev: NSFS, ino: AGENT_INO }], namedFolders: ["/run/netns"] };

function scene() {
  const node = new FakeNode();
  /** Cookies by inode: another one for each namespace that has had it. */
  const cookies = new Map<bigint, bigint>();
  const { proc, open } = node.access();
  const identify = (fd: number): NetnsIdentity => {
    const ino = node.open.get(fd) ?? 0n;
    return { dev: NSFS, ino, cookie: cookies.get(ino) };
  };
  const find = async (...records: { podUid: string; netns: NetnsIdentity }[]) => {
    const found = await findRecordedNetns({ proc, open, identify }, records, OPTIONS);
    const uids = [...found.keys()];
    for (const handle of found.values()) handle[Symbol.dispose]();
    assert.deepEqual([...node.open], [], "no descriptor is left");
    return uids;
  };
  return { node, cookies, find };
}

const recordOf = (podUid: string, ino: bigint, cookie: bigint | undefined, dev = NSFS) => ({
  podUid,
  netns: { dev, ino, cookie },
});

describe("findRecordedNetns()", () => {
  it("opens the namespace by a process in it, or by the runtime's file", async () => {
    const { node, cookies, find } = scene();
    const [first, second] = [fakePod(1), fakePod(2)];
    const ino = node.addPod(first, 10);
    node.namespaces.set(77n, []);
    node.named.set("/run/netns/cni-77", 77n);
    cookies.set(ino, 5n).set(77n, 6n);
    assert.deepEqual(await find(recordOf(first.uid, ino, 5n), recordOf(second.uid, 77n, 6n)), [first.uid, second.uid]);
  });

  it("takes no namespace that has the inode of one that ended", async () => {
    const { node, cookies, find } = scene();
    const pod = fakePod(1);
    const ino = node.addPod(pod, 10);
    cookies.set(ino, 6n);
    assert.deepEqual(await find(recordOf(pod.uid, ino, 5n)), []);
    assert.deepEqual(await find(recordOf(pod.uid, ino, 6n, NSFS + 1n)), [], "another device");
  });

  it("goes by the pod's own processes where the kernel has no cookies", async () => {
    const { node, find } = scene();
    const [pod, other] = [fakePod(1), fakePod(2)];
    node.namespaces.set(50n, []).set(51n, []);
    node.processes.set(10, { ino: 50n, cgroup: cgroupOf(pod.uid, 1) });
    node.processes.set(11, { ino: 51n, cgroup: cgroupOf(other.uid, 2) });
    assert.deepEqual(await find(recordOf(pod.uid, 50n, undefined)), [pod.uid]);
    assert.deepEqual(await find(recordOf(pod.uid, 51n, undefined)), []);
  });

  it("never takes the node's namespace or the agent's, whatever a record says", async () => {
    const { node, cookies, find } = scene();
    node.namespaces.set(NODE_INO, []).set(AGENT_INO, []);
    node.processes.set(12, { ino: AGENT_INO });
    cookies.set(NODE_INO, 1n).set(AGENT_INO, 2n);
    assert.deepEqual(await find(recordOf("a", NODE_INO, 1n), recordOf("b", AGENT_INO, 2n)), []);
  });

  it("passes over what is gone, and ends that go while it looks", async () => {
    const { node, cookies, find } = scene();
    const pod = fakePod(1);
    const ino = node.addPod(pod, 10);
    cookies.set(ino, 5n);
    assert.deepEqual(await find(recordOf("gone", 999n, 5n)), []);
    node.meanwhile = (asked) => void (asked === "open" && node.processes.delete(10) && node.namespaces.delete(ino));
    assert.deepEqual(await find(recordOf(pod.uid, ino, 5n)), []);
  });
});
