// Pods that change dialect while they talk: connections that are open stay, and every new one is captured.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodCapture } from "../../src/core/rules/pod-capture.ts";
import { sidecarRules } from "../../src/core/rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { createNetns } from "../../testbed/netns.ts";
import { ambientCase, backendOf, DIALECTS, rulesIn } from "./backend-fixture.ts";
import { startPodWithTraffic } from "./backend-traffic.ts";
import { dialectsIn, restoreAsUpstream } from "./backend-upstream.ts";

const BOTH = { v4: true, v6: true } as const;

for (const mode of ["REDIRECT", "TPROXY", "ambient"] as const) {
  for (const from of DIALECTS) {
    for (const to of DIALECTS.filter((dialect) => dialect !== from)) {
      test(`${mode}: from ${from} to ${to} and back under traffic no connection is lost and none passes by`, async () => {
        const capture: PodCapture =
          mode === "ambient" ? ambientCase() : { ...DEFAULT_SIDECAR_CAPTURE, mode, families: BOTH };
        await using pod = await startPodWithTraffic(mode);
        await backendOf(from).apply(pod.netns.fd, capture);
        await pod.startTraffic();
        const there = await backendOf(to).apply(pod.netns.fd, capture);
        assert.deepEqual({ ...there, repaired: [] }, { dialect: to, changed: true, replaced: [from], repaired: [] });
        await pod.assertHeldAnswer();
        assert.deepEqual(await backendOf(to).drift(pod.netns.fd, capture), []);
        assert.deepEqual(dialectsIn(pod.netns), [to]);
        const back = await backendOf(from).apply(pod.netns.fd, capture);
        assert.deepEqual(back.replaced, [to]);
        await pod.assertHeldAnswer();
        assert.deepEqual(dialectsIn(pod.netns), [from]);
        await pod.assertAllCaptured();
      });
    }
  }
}

test("a TPROXY pod that died half way through a change of dialect is captured, and the next apply finishes it", async () => {
  const capture: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY", families: BOTH };
  const whole = backendOf("iptables-nft");
  using reference = createNetns();
  await whole.apply(reference.fd, capture);
  await using pod = await startPodWithTraffic("TPROXY");
  await backendOf("iptables-legacy").apply(pod.netns.fd, capture);
  // What stands between the second and the third step: both sets, both saving the mark on the way out.
  for (const tool of ["iptables-legacy", "iptables-nft"] as const) {
    if (tool === "iptables-nft") for (const rules of sidecarRules(capture)) restoreAsUpstream(pod.netns, rules);
    for (const family of ["", "6"]) {
      const mangle = [tool.replace("ip", `ip${family}`), "-t", "mangle"];
      const save = ["-p", "tcp", "-m", "mark", "--mark", "0x539", "-j", "CONNMARK", "--save-mark"];
      pod.netns.mustExec([...mangle, "-D", "PREROUTING", ...save]);
      pod.netns.mustExec([...mangle, "-I", "OUTPUT", "1", "-o", "lo", ...save]);
    }
  }
  await pod.startTraffic();
  assert.deepEqual((await whole.apply(pod.netns.fd, capture)).replaced, ["iptables-legacy"]);
  await pod.assertHeldAnswer();
  assert.deepEqual(rulesIn(pod.netns), rulesIn(reference));
  await pod.assertAllCaptured();
});
