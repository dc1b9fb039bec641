// A running pod that leaves the mesh: connections that were redirected go on, new ones pass by, and nothing is left in the end.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodCapture } from "../../src/core/rules/pod-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../src/core/rules/sidecar-capture.ts";
import type { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { startSlowServer } from "../../testbed/sidecar/slow-server.ts";
import { ask, createMesh, MESH_ADDRESSES } from "./ambient-mesh.ts";
import { ambientCase, backendOf, DIALECTS, FAMILIES, generationOf, rulesIn } from "./backend-fixture.ts";
import { startPodWithTraffic } from "./backend-traffic.ts";

const CAPTURES: Readonly<Record<PodCapture["mode"], PodCapture>> = {
  ambient: ambientCase(),
  REDIRECT: { ...DEFAULT_SIDECAR_CAPTURE, families: FAMILIES.dual },
  TPROXY: { ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY", families: FAMILIES.dual },
};

/** Of four held connections, those that are seen at the proxy's ports: TPROXY accepts what comes in at its own. */
const SEEN = { ambient: 4, REDIRECT: 4, TPROXY: 2 } as const;

for (const mode of ["ambient", "REDIRECT", "TPROXY"] as const) {
  for (const dialect of DIALECTS) {
    test(`${dialect}, ${mode}: a released pod keeps its connections, new ones pass by, and later nothing is left`, async () => {
      const capture = CAPTURES[mode];
      await using pod = await startPodWithTraffic(mode);
      const backend = backendOf(dialect);
      await backend.apply(pod.netns.fd, capture);
      await pod.hold();
      assert.deepEqual(await backend.release(pod.netns.fd), { changed: true, connections: SEEN[mode] });
      await pod.assertNewPassBy();
      await pod.assertHeldAnswer();
      const generation = generationOf(pod.netns);
      // Another agent finds it so, and has nothing to write.
      assert.deepEqual(await backendOf(dialect).release(pod.netns.fd), { changed: false, connections: SEEN[mode] });
      assert.equal(generationOf(pod.netns), generation);
      await pod.assertHeldAnswer();
      await pod.letGo();
      assert.equal(await drained(pod.netns, dialect), true);
      assert.equal(await backendOf(dialect).remove(pod.netns.fd, capture), true);
      using fresh = createNetns();
      assert.deepEqual(left(pod.netns, dialect), left(fresh, dialect));
      assert.equal(await backend.remove(pod.netns.fd, capture), false);
      await pod.assertNewPassBy();
    });

    test(`${dialect}, ${mode}: a released pod that comes back in is captured as a whole`, async () => {
      const capture = CAPTURES[mode];
      await using pod = await startPodWithTraffic(mode);
      const backend = backendOf(dialect);
      await backend.apply(pod.netns.fd, capture);
      const whole = rulesIn(pod.netns);
      await pod.hold();
      await backend.release(pod.netns.fd);
      assert.notDeepEqual(await backend.drift(pod.netns.fd, capture), []);
      assert.equal((await backend.apply(pod.netns.fd, capture)).changed, true);
      assert.deepEqual(await backend.drift(pod.netns.fd, capture), []);
      assert.deepEqual(rulesIn(pod.netns).toSorted(), whole.toSorted());
      await pod.assertHeldAnswer();
      await pod.hold();
    });
  }
}

for (const dialect of DIALECTS) {
  test(`${dialect}: what an ADD left that nobody answered is taken out, and a namespace that nobody touched stays so`, async () => {
    using netns = createNetns();
    const before = generationOf(netns);
    assert.equal(await backendOf(dialect).clear(netns.fd, CAPTURES.ambient), false);
    assert.equal(generationOf(netns), before);
    netns.exec(["ip", "addr", "add", "10.0.0.5/24", "dev", "lo"]);
    await backendOf(dialect).apply(netns.fd, CAPTURES.ambient);
    assert.equal(await backendOf(dialect).clear(netns.fd, CAPTURES.ambient), true);
    using fresh = createNetns();
    assert.deepEqual(left(netns, dialect), left(fresh, dialect));
  });
}

for (const dialect of DIALECTS) {
  for (const tunnel of [false, true]) {
    const how = tunnel ? "through port 15008" : "in plain text";
    test(`${dialect}: a request under way ${how} is answered by way of ztunnel although both pods were released`, async () => {
      await using mesh = await createMesh(dialect, { tunnel, capture: CAPTURES.ambient as never });
      const backend = backendOf(dialect);
      for (const family of [4, 6] as const) {
        await using slow = await startSlowServer({ netnsPath: mesh.b.path }, 9090, "direct 9090");
        const before = mesh.ztunnel.connections().length;
        const answer = ask(mesh.a, MESH_ADDRESSES.b[family], 9090, 30_000);
        await slow.waitUntilAsked();
        await mesh.rig.until("ztunnel tells of both", () => mesh.ztunnel.connections().length === before + 2);
        for (const pod of [mesh.a, mesh.b]) {
          const { changed, connections = 0 } = await backend.release(pod.fd);
          assert.ok(changed && connections > 0);
        }
        assert.deepEqual(await ask(mesh.a, MESH_ADDRESSES.b[family]), { outcome: "direct", port: 8080 });
        assert.equal(mesh.ztunnel.connections().length, before + 2, "a new request passes by ztunnel");
        slow.answer();
        assert.deepEqual(await answer, { outcome: "direct", port: 9090 });
        for (const pod of [mesh.a, mesh.b]) {
          assert.equal(await drained(pod, dialect), true);
          await backend.apply(pod.fd, CAPTURES.ambient);
        }
      }
      using fresh = createNetns();
      for (const pod of [mesh.a, mesh.b]) {
        await backend.release(pod.fd);
        assert.equal(await backend.remove(pod.fd, CAPTURES.ambient), true);
        assert.deepEqual(left(pod, dialect), left(fresh, dialect));
      }
    });
  }
}

test("a namespace in which nothing of ours is has nothing to let go, and rules of others stay", async () => {
  using netns = createNetns();
  const rules =
    "*nat\n-N OTHERS\n-A OUTPUT -p tcp -j OTHERS\n-A OTHERS -p tcp --dport 1 -j REDIRECT --to-ports 2\nCOMMIT\n";
  netns.mustExec(["iptables-nft-restore"], { input: rules });
  const generation = generationOf(netns);
  for (const dialect of DIALECTS) {
    assert.deepEqual(await backendOf(dialect).release(netns.fd), { changed: false, connections: 0 });
  }
  assert.equal(generationOf(netns), generation);
});

test("a pod is let go in the dialects that can, where another one cannot", async () => {
  using netns = createNetns();
  await backendOf("iptables-legacy").apply(netns.fd, CAPTURES.ambient);
  const refuse: typeof openNetlink = () => {
    throw new Error("no netlink today");
  };
  const backend = backendOf("iptables-legacy", { openNetlink: refuse });
  await assert.rejects(backend.release(netns.fd), /no netlink today/);
  assert.deepEqual(await backendOf("iptables-legacy").release(netns.fd), { changed: false, connections: 0 });
});

/** Waits until the proxy has finished all connections. */
async function drained(netns: TestNetns, dialect: (typeof DIALECTS)[number]): Promise<boolean> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    if ((await backendOf(dialect).release(netns.fd)).connections === 0) return true;
    await new Promise((resolve) => void setImmediate(resolve));
  }
  return false;
}

/** Everything that anybody's tools show. iptables legacy cannot take its tables away: their rules count. */
function left(netns: TestNetns, dialect: (typeof DIALECTS)[number]): string {
  const routing = ["-4", "-6"].flatMap((family) => [
    netns.mustExec(["ip", family, "rule"]),
    ...["100", "133"].map((table) => netns.exec(["ip", family, "route", "show", "table", table]).stdout),
  ]);
  const tables = dialect === "iptables-legacy" ? [] : [netns.mustExec(["nft", "list", "ruleset"])];
  return [...tables, ...rulesIn(netns), ...routing].join("\n");
}
