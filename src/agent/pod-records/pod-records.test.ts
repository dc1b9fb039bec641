import assert from "node:assert/strict";
import { openSync, rmSync, symlinkSync } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { captured, NEXT_BOOT, TestNode } from "../../../testbed/pod-records.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../core/rules/sidecar-capture.ts";

const GRACE_MS = 300_000;

/** A node whose first agent has left the records of these pods; each pod's namespace has the inode 10, 11, … */
async function nodeWith(...podUids: string[]) {
  const node = new TestNode();
  const agent = await node.start();
  const namespaces = podUids.map((podUid, index) => {
    const netns = node.netns(10 + index);
    agent.keep(captured(podUid), netns);
    return netns;
  });
  await agent.end();
  const [netns] = namespaces;
  assert.ok(netns !== undefined);
  assert.deepEqual(node.files(), podUids.map((podUid) => `${podUid}.json`).toSorted());
  return { node, netns };
}

test("what an agent decided, the next one knows, once the pod's namespace proves to be the same", async () => {
  const { node, netns } = await nodeWith("a");
  using _node = node;
  const agent = await node.start();
  assert.equal(agent.decided("a"), undefined);
  assert.equal(agent.unproven("a")?.reason, "sidecar");
  agent.prove("a", netns);
  const record = agent.decided("a");
  assert.deepEqual(
    [record?.decidedBy, record?.containerId, record?.wasInPlace, record?.capture],
    ["add", "sandbox-of-a", true, DEFAULT_SIDECAR_CAPTURE],
  );
  assert.equal(agent.unproven("a"), undefined);
  await agent.end();
  assert.deepEqual([node.files(), node.failures], [["a.json"], []]);
});

test("a record of a former sandbox of the same pod is forgotten, also where the new namespace got the old one's inode", async () => {
  for (const [ino, cookie] of [
    [99, 99],
    [10, 99],
    [10, undefined],
  ] as const) {
    const { node } = await nodeWith("a");
    using _node = node;
    const agent = await node.start();
    const identity = node.netns(ino, cookie);
    if (cookie === undefined) node.identities.set(identity.fd, { dev: 4n, ino: 10n, cookie: undefined });
    agent.prove("a", identity);
    assert.deepEqual([agent.decided("a"), agent.unproven("a")], [undefined, undefined], `${ino} ${cookie}`);
    await agent.end();
    assert.deepEqual(node.files(), []);
    assert.match(node.logged.join(), /former sandbox/);
  }
});

test("where kernels have no cookie, device and inode decide", async () => {
  using node = new TestNode();
  const old = node.netns(10);
  node.identities.set(old.fd, { dev: 4n, ino: 10n, cookie: undefined });
  const first = await node.start();
  first.keep(captured("a"), old);
  await first.end();
  const second = await node.start();
  second.prove("a", old);
  assert.ok(second.decided("a") !== undefined);
  await second.end();
});

test("a namespace that cannot be asked leaves the record as it is, unproven", async () => {
  const { node, netns } = await nodeWith("a");
  using _node = node;
  const agent = await node.start();
  agent.prove("a", { ...netns, fd: 7 });
  assert.ok(agent.unproven("a") !== undefined);
  agent.prove("a", netns);
  assert.ok(agent.decided("a") !== undefined);
  await agent.end();
});

test("a proven record is forgotten when the pod turns up in another namespace without our having been asked", async () => {
  const { node, netns } = await nodeWith("a");
  using _node = node;
  const agent = await node.start();
  agent.prove("a", netns);
  const asked = node.identified;
  agent.prove("a", netns);
  assert.equal(node.identified, asked, "the namespace it was proven with is not asked again");
  agent.prove("a", node.netns(77));
  assert.equal(agent.decided("a"), undefined);
  await agent.end();
  assert.deepEqual(node.files(), []);
});

test("after a reboot on a disk that keeps its files nothing is believed, and all is removed with one line", async () => {
  const { node, netns } = await nodeWith("a", "b");
  using _node = node;
  node.bootId = NEXT_BOOT;
  const agent = await node.start();
  agent.prove("a", netns);
  assert.deepEqual([agent.decided("a"), agent.unproven("b")], [undefined, undefined]);
  assert.deepEqual(node.files(), []);
  assert.equal(node.logged.length, 1);
  await agent.end();
});

test("without a boot id nothing is kept or believed, and that is said once", async () => {
  const { node, netns } = await nodeWith("a");
  using _node = node;
  for (const bootId of [undefined, "", "not a boot id"]) {
    node.bootId = bootId;
    const agent = await node.start();
    agent.prove("a", netns);
    agent.keep(captured("b"), netns);
    assert.deepEqual([agent.decided("a"), agent.unproven("a"), agent.decided("b")], [undefined, undefined, undefined]);
    await agent.end();
  }
  assert.equal(node.logged.length, 3);
});

test("DEL takes the record of that sandbox and of no other", async () => {
  const { node } = await nodeWith("a", "b");
  using _node = node;
  const agent = await node.start();
  agent.keep(captured("a", { containerId: "second" }), node.netns(50));
  agent.removeSandbox("sandbox-of-a");
  agent.removeSandbox("sandbox-of-b");
  agent.removeSandbox("never heard of");
  await agent.end();
  assert.deepEqual(node.files(), ["a.json"]);
  assert.match(node.text("a.json"), /"containerId":"second"/);
});

test("a pod that is gone takes its record along", async () => {
  const { node } = await nodeWith("a", "b");
  using _node = node;
  const agent = await node.start();
  agent.forget("a");
  agent.forget("never heard of");
  await node.until(() => !node.files().includes("a.json"));
  assert.deepEqual(node.files(), ["b.json"]);
  await agent.end();
});

test("records of pods that the API does not list go after a time, because a list may be older than a pod", async () => {
  const { node } = await nodeWith("a", "b");
  using _node = node;
  const agent = await node.start();
  agent.keep(captured("young"), node.netns(60));
  agent.retain(["a"]);
  await node.until(() => node.files().includes("young.json"));
  node.advance(GRACE_MS + 1);
  agent.keep(captured("younger"), node.netns(61));
  agent.retain(["a"]);
  await node.until(() => !node.files().includes("b.json") && !node.files().includes("young.json"));
  await agent.end();
  assert.deepEqual(node.files(), ["a.json", "younger.json"]);
});

test("the same decision told again costs neither a question nor a write; another one replaces it", async () => {
  using node = new TestNode();
  const agent = await node.start();
  const netns = node.netns(10);
  agent.keep(captured("a"), netns);
  await node.until(() => node.files().includes("a.json"));
  const text = node.text("a.json");
  agent.keep(
    captured("a", { containerId: undefined, wasInPlace: false, capture: { ...DEFAULT_SIDECAR_CAPTURE } }),
    netns,
  );
  assert.equal(node.identified, 1);
  agent.keep(captured("a", { capture: { ...DEFAULT_SIDECAR_CAPTURE, families: { v4: true, v6: true } } }), netns);
  await agent.end();
  assert.match(text, /"v6":false/);
  assert.match(node.text("a.json"), /"containerId":"sandbox-of-a".*"wasInPlace":true.*"v6":true/);
  assert.equal(node.identified, 1);
});

test("a file can be written at once, once", async () => {
  using node = new TestNode();
  const agent = await node.start();
  agent.keep(captured("a"), node.netns(10));
  agent.save("a");
  assert.deepEqual(node.files(), ["a.json"]);
  rmSync(join(node.path, "a.json"));
  agent.save("a");
  await agent.end();
  assert.deepEqual(node.files(), [], "it was the same as its file");
});

test("what an ADD decided while the files were read is not overwritten by them", async () => {
  const { node } = await nodeWith("a");
  using _node = node;
  const agent = node.launch();
  agent.keep(captured("a", { reason: "interception-mode-none", capture: undefined }), node.netns(70));
  await agent.loaded;
  assert.deepEqual([agent.decided("a")?.reason, agent.unproven("a")], ["interception-mode-none", undefined]);
  await agent.end();
  assert.match(node.text("a.json"), /"capture":null/);
});

test("damaged, foreign and misnamed files are removed with a line each, other versions left to whom they belong", async () => {
  const { node } = await nodeWith("a", "b", "c", "d", "e", "f");
  using _node = node;
  const whole = node.text("a.json");
  node.put("a.json", whole.slice(0, 100));
  node.put("b.json", whole);
  node.put("c.json", "x".repeat(300 * 1024));
  rmSync(join(node.path, "d.json"));
  symlinkSync("/etc/passwd", join(node.path, "d.json"));
  node.put("e.json", node.text("e.json").replace('"version":1', '"version":2'));
  rmSync(join(node.path, "f.json"));
  node.put("f.json", whole, 0o644);
  node.put(".new-0123456789ab", "cut short");
  node.put("README", "by a human");
  const agent = await node.start();
  assert.deepEqual(node.files(), ["README", "e.json"]);
  assert.equal(node.logged.filter((line) => /^Removed .*counts as absent/.test(line)).length, 5);
  for (const podUid of ["a", "b", "c", "d", "e", "f"]) assert.equal(agent.unproven(podUid), undefined, podUid);
  // With its pod it goes.
  node.advance(GRACE_MS + 1);
  agent.retain(["a"]);
  await node.until(() => !node.files().includes("e.json"));
  await agent.end();
});

test("a full or read-only disk is told once and counted, refuses nobody, and is made good when it is over", async () => {
  using node = new TestNode();
  let isFull = true;
  node.calls = {
    openSync: (...call) => {
      if (isFull) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      return openSync(...call);
    },
  };
  const agent = await node.start();
  for (const podUid of ["a", "b", "c"]) agent.keep(captured(podUid), node.netns(10));
  await node.until(() => node.failures.length === 3);
  assert.deepEqual(node.failures, ["write", "write", "write"]);
  assert.equal(node.logged.length, 1);
  assert.match(node.logged[0] ?? "", /Cannot write .*the file system is full/);
  assert.ok(agent.decided("c") !== undefined);
  isFull = false;
  agent.retain(["a", "b", "c"]);
  await node.until(() => node.files().includes("c.json"));
  await agent.end();
  assert.match(node.logged.at(-1) ?? "", /again/);
});

test("files that somebody removes are written again with the next list of pods", async () => {
  const { node } = await nodeWith("a", "b");
  using _node = node;
  const agent = await node.start();
  rmSync(node.path, { recursive: true });
  agent.retain(["a", "b"]);
  await node.until(() => node.files().includes("b.json"));
  await agent.end();
});

test("there are never more records, nor more bytes of them, than agreed", async () => {
  using node = new TestNode();
  const agent = await node.start({ maxRecords: 3, maxTotalBytes: 1700 });
  for (const podUid of ["a", "b", "c", "d"]) agent.keep(captured(podUid), node.netns(10));
  await agent.end();
  // The oldest gave way, and the last does not fit any more.
  assert.deepEqual(node.files(), ["b.json", "c.json"]);
  assert.deepEqual(node.failures, ["write"]);
  const next = await node.start({ maxRecords: 1 });
  assert.ok((next.unproven("b") === undefined) !== (next.unproven("c") === undefined));
  await next.end();
  assert.equal(node.files().length, 1);
});

test("a disk that does not answer at start holds nobody up for long", async () => {
  const { node } = await nodeWith("a");
  using _node = node;
  node.calls = { stat: () => new Promise<never>(() => {}) };
  const agent = node.launch();
  await node.until(() => {
    node.advance(100);
    return node.logged.some((line) => line.startsWith("Gave up reading"));
  });
  await agent.loaded;
  assert.equal(agent.unproven("a"), undefined);
  await agent.end();
});

test("what takes seconds to read, because the node's processors are taken, is not lost", async () => {
  const { node } = await nodeWith("a");
  using _node = node;
  const { promise: isTurn, resolve: take } = Promise.withResolvers<void>();
  node.calls = { opendir: (...call) => isTurn.then(() => opendir(...call)) };
  const agent = node.launch();
  await new Promise((resolve) => void setImmediate(resolve));
  node.advance(8000);
  take();
  await agent.loaded;
  assert.equal(agent.unproven("a")?.reason, "sidecar");
  assert.deepEqual(node.logged, []);
  await agent.end();
});

test("a pod whose UID cannot be a file's name has no file, and disturbs nobody", async () => {
  using node = new TestNode();
  const agent = await node.start();
  for (const podUid of ["", "../../etc/cron.d/x", "a/b", "."]) agent.keep(captured(podUid), node.netns(10));
  agent.keep(captured("good"), node.netns(11));
  for (const podUid of ["", "../../etc/cron.d/x"]) agent.forget(podUid);
  await agent.end();
  assert.deepEqual(node.files(), ["good.json"]);
  assert.deepEqual(node.logged, []);
});

test("what was applied to a sandbox is known to the next ADD of the same sandbox only", async () => {
  const { node } = await nodeWith("a");
  using _node = node;
  const agent = await node.start();
  assert.deepEqual(agent.formerly("a", "sandbox-of-a"), DEFAULT_SIDECAR_CAPTURE);
  assert.equal(agent.formerly("a", "another"), undefined);
  assert.equal(agent.formerly("b", "sandbox-of-a"), undefined);
  await agent.end();
});
