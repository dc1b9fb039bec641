// A sandbox whose `lo` is not up yet when its pod is captured: containerd calls the loopback plugin beside the pod's network.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_SIDECAR_CAPTURE } from "../../src/core/rules/sidecar-capture.ts";
import { createNetns } from "../../testbed/netns.ts";
import { ambientCase, backendOf, DIALECTS, FAMILIES } from "./backend-fixture.ts";

const CAPTURES = {
  ambient: ambientCase(),
  TPROXY: { ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY", families: FAMILIES.dual },
} as const;

for (const [mode, capture] of Object.entries(CAPTURES)) {
  for (const dialect of DIALECTS) {
    test(`${dialect}, ${mode}: a pod whose lo is down is captured in both families, and the loopback plugin finds it up`, async () => {
      using netns = createNetns({ loopbackUp: false });
      const backend = backendOf(dialect);
      assert.equal((await backend.apply(netns.fd, capture)).changed, true);
      assert.deepEqual(await backend.drift(netns.fd, capture), []);
      for (const family of ["-4", "-6"]) {
        const routes = netns.exec(["ip", family, "route", "show", "table", "all"]).stdout;
        assert.match(routes, /^local default dev lo table (100|133)/m, family);
      }
      netns.mustExec(["ip", "link", "set", "lo", "up"]);
      assert.match(netns.exec(["ip", "address", "show", "lo"]).stdout, /inet 127\.0\.0\.1\/8/);
      assert.deepEqual(await backend.drift(netns.fd, capture), []);
    });

    test(`${dialect}, ${mode}: what went with lo is known as that while lo is off, and not where rules went too`, async () => {
      using netns = createNetns();
      const backend = backendOf(dialect);
      await backend.apply(netns.fd, capture);
      assert.equal(await backend.differsByLoopback(netns.fd, capture), false);
      // As the loopback plugin does at DEL.
      netns.mustExec(["ip", "link", "set", "lo", "down"]);
      assert.notDeepEqual(await backend.drift(netns.fd, capture), []);
      assert.equal(await backend.differsByLoopback(netns.fd, capture), true);
      netns.mustExec(["ip", "link", "set", "lo", "up"]);
      assert.notDeepEqual(await backend.drift(netns.fd, capture), []);
      assert.equal(await backend.differsByLoopback(netns.fd, capture), false);
      netns.mustExec(["ip", "link", "set", "lo", "down"]);
      netns.mustExec(
        dialect === "iptables-legacy" ? ["iptables-legacy", "-t", "nat", "-F"] : ["nft", "flush", "ruleset"],
      );
      assert.equal(await backend.differsByLoopback(netns.fd, capture), false);
    });
  }
}
