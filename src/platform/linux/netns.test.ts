import assert from "node:assert/strict";
import { test } from "node:test";
import { createNetns } from "../../../testbed/netns.ts";
import { isSameNetns, type NetnsId } from "../../core/netns/netns-id.ts";
import { netnsIdAt, runInNetns } from "./netns.ts";

function here(): NetnsId {
  return netnsIdAt("/proc/thread-self/ns/net") ?? assert.fail("a thread has a network namespace");
}

test("runInNetns() returns to where the thread was, at home and inside another namespace, whatever the action does", () => {
  const home = here();
  using outer = createNetns();
  using inner = createNetns();
  runInNetns(outer.fd, () => {
    assert.ok(isSameNetns(here(), outer.handle));
    assert.ok(isSameNetns(runInNetns(inner.fd, here), inner.handle));
    assert.ok(isSameNetns(here(), outer.handle), "back in the outer one");
    assert.throws(() => runInNetns(inner.fd, () => assert.fail("inside")), /inside/);
    assert.ok(isSameNetns(here(), outer.handle), "also after a failure");
  });
  assert.ok(isSameNetns(here(), home));
  assert.throws(() => runInNetns(outer.fd, () => assert.fail("inside")), /inside/);
  assert.ok(isSameNetns(here(), home));
});

test("runInNetns() enters nothing that is no network namespace, and stays where it was", () => {
  const home = here();
  using netns = createNetns();
  assert.throws(() => runInNetns(0, here), { syscall: "setns" });
  runInNetns(netns.fd, () => {
    assert.throws(() => runInNetns(0, here), { syscall: "setns" });
    assert.ok(isSameNetns(here(), netns.handle));
  });
  assert.ok(isSameNetns(here(), home));
});
