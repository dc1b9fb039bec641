import assert from "node:assert/strict";
import { test } from "node:test";
import { hostNetnsPaths } from "./host-netns-paths.ts";

test("hostNetnsPaths() looks into the mounted folder under both its names, then through the host's first process", () => {
  assert.deepEqual(hostNetnsPaths("/var/run/netns/cni-1"), [
    "/host/var/run/netns/cni-1",
    "/host/proc/1/root/var/run/netns/cni-1",
  ]);
  assert.deepEqual(hostNetnsPaths("/run/netns/cni-1"), [
    "/host/run/netns/cni-1",
    "/host/var/run/netns/cni-1",
    "/host/proc/1/root/run/netns/cni-1",
  ]);
  assert.equal(hostNetnsPaths("/proc/7/ns/net")[0], "/host/proc/7/ns/net");
});
