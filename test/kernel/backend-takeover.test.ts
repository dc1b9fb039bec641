// Pods that upstream's agent prepared: what is right stays as it is, what is not is put right in place, under traffic.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type PodCapture, podRules } from "../../src/core/rules/pod-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { createNetns } from "../../testbed/netns.ts";
import { ambientCase, backendOf, DIALECTS, FAMILIES, generationOf } from "./backend-fixture.ts";
import { startPodWithTraffic } from "./backend-traffic.ts";
import { dialectsIn, loadAsUpstream, prepareRoutingAsUpstream, restoreAsUpstream } from "./backend-upstream.ts";

const MODES = ["REDIRECT", "TPROXY", "ambient"] as const;

for (const mode of MODES) {
  for (const from of ["iptables-nft", "iptables-legacy"] as const) {
    for (const to of DIALECTS) {
      test(`${mode}: a pod prepared by upstream's ${from} is taken over as ${to} under traffic`, async () => {
        const capture = captureOf(mode);
        await using pod = await startPodWithTraffic(mode);
        for (const ruleset of podRules(capture)) {
          restoreAsUpstream(pod.netns, ruleset, from === "iptables-nft" ? "nft" : "legacy");
        }
        prepareRoutingAsUpstream(pod.netns, mode);
        await pod.startTraffic();
        const generation = generationOf(pod.netns);
        const taken = await backendOf(to).apply(pod.netns.fd, capture);
        if (to === from) {
          assert.deepEqual(taken, { dialect: to, changed: false, replaced: [], repaired: [] });
          assert.equal(generationOf(pod.netns), generation);
        } else assert.deepEqual(taken.replaced, [from]);
        await pod.assertHeldAnswer();
        assert.deepEqual(dialectsIn(pod.netns), [to]);
        await pod.assertAllCaptured();
      });
    }
  }

  test(`${mode}: rules of upstream that lost a chain and gained a rule are repaired in place under traffic`, async () => {
    const capture = captureOf(mode);
    await using pod = await startPodWithTraffic(mode);
    for (const ruleset of podRules(capture)) restoreAsUpstream(pod.netns, ruleset);
    prepareRoutingAsUpstream(pod.netns, mode);
    await pod.hold();
    pod.netns.mustExec(["iptables-nft", "-t", "nat", "-F", "ISTIO_OUTPUT"]);
    pod.netns.mustExec(["ip6tables-nft", "-t", "nat", "-I", "ISTIO_OUTPUT", "2", "-p", "tcp", "-j", "RETURN"]);
    const repair = await backendOf("iptables-nft").apply(pod.netns.fd, capture);
    assert.deepEqual(repair.repaired, [
      "chain nat/ISTIO_OUTPUT of IPv4 was altered",
      "chain nat/ISTIO_OUTPUT of IPv6 was altered",
    ]);
    await pod.assertHeldAnswer();
    await pod.hammer();
    await pod.assertAllCaptured();
  });
}

const NATIVE: Readonly<Record<string, Partial<SidecarCapture>>> = {
  redirect: {},
  "redirect-dns": { dnsCapture: true },
  tproxy: { mode: "TPROXY" },
  "tproxy-dns-drop-invalid": { mode: "TPROXY", dnsCapture: true, dropInvalid: true },
};

for (const [name, capture] of Object.entries(NATIVE)) {
  const isComplete = capture.mode !== "TPROXY";
  const written = isComplete ? "nothing is" : "only what drops while the proxy is away is";
  test(`${name}: what upstream's nft wrote for both families is right, and ${written} written`, async () => {
    const wanted: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, ...capture, families: FAMILIES.dual };
    using netns = createNetns();
    loadAsUpstream(netns, name);
    prepareRoutingAsUpstream(netns, wanted.mode);
    const listRules = (): readonly string[] => netns.mustExec(["nft", "-a", "list", "ruleset"]).split("\n");
    const before = listRules();
    const generation = generationOf(netns);
    const repaired = isComplete ? [] : ["chain istio-proxy-mangle/istio-tproxy was altered"];
    assert.deepEqual(await backendOf("nftables").drift(netns.fd, wanted), repaired);
    const taken = await backendOf("nftables").apply(netns.fd, wanted);
    assert.deepEqual(taken, { dialect: "nftables", changed: !isComplete, replaced: [], repaired });
    const added = listRules().filter((line) => !before.includes(line));
    assert.deepEqual(
      added.map((line) => line.replace(/ counter packets \d+ bytes \d+ drop # handle \d+$/, " drop").trim()),
      isComplete ? [] : ["meta l4proto tcp ip daddr != 127.0.0.1 drop", "meta l4proto tcp ip6 daddr != ::1 drop"],
    );
    assert.deepEqual(
      listRules().filter((line) => !added.includes(line)),
      before,
    );
    assert.equal(generationOf(netns) === generation, isComplete);
    assert.equal(await backendOf("nftables").remove(netns.fd, wanted), true);
    assert.equal(netns.mustExec(["nft", "list", "ruleset"]), "");
  });
}

for (const mode of ["REDIRECT", "TPROXY"] as const) {
  for (const to of DIALECTS) {
    test(`${mode}: a pod prepared by upstream's nft is taken over as ${to} under traffic`, async () => {
      const capture = captureOf(mode);
      await using pod = await startPodWithTraffic(mode);
      loadAsUpstream(pod.netns, mode.toLowerCase());
      prepareRoutingAsUpstream(pod.netns, mode);
      await pod.startTraffic();
      const taken = await backendOf(to).apply(pod.netns.fd, capture);
      assert.deepEqual(taken.replaced, to === "nftables" ? [] : ["nftables"]);
      // Upstream's nft does not drop while the proxy is away.
      assert.equal(taken.changed, to !== "nftables" || mode === "TPROXY");
      await pod.assertHeldAnswer();
      assert.deepEqual(dialectsIn(pod.netns), [to]);
      await pod.assertAllCaptured();
    });
  }

  test(`${mode}: where upstream's nft exempted IPv4 only, IPv6 gets its exemptions in place under traffic (D32)`, async () => {
    const capture = captureOf(mode);
    await using pod = await startPodWithTraffic(mode);
    loadAsUpstream(pod.netns, `${mode.toLowerCase()}-v4-exemptions`);
    await pod.holdOnly(4);
    const repair = await backendOf("nftables").apply(pod.netns.fd, capture);
    assert.deepEqual(repair.replaced, []);
    assert.ok(repair.repaired.includes("chain istio-proxy-nat/istio-output was altered"), repair.repaired.join("; "));
    assert.ok(repair.repaired.includes("the address ::6/128 of lo is missing"));
    assert.deepEqual(await backendOf("nftables").drift(pod.netns.fd, capture), []);
    await pod.assertHeldAnswer();
    await pod.hammer();
    await pod.assertAllCaptured();
  });
}

function captureOf(mode: PodCapture["mode"]): PodCapture {
  if (mode === "ambient") return ambientCase();
  return { ...DEFAULT_SIDECAR_CAPTURE, mode, families: FAMILIES.dual };
}
