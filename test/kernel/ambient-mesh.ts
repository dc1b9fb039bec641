// Two ambient pods on one wire, captured and given to a ztunnel that proxies for real: the agent's own server, rules and
// backend; ztunnel.c in place of ztunnel.
import assert from "node:assert/strict";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { AmbientCapture } from "../../src/core/rules/ambient-capture.ts";
import { DEFAULT_AMBIENT_CAPTURE } from "../../testbed/ambient/ambient-cases.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { type Listener, probe, startApplication } from "../../testbed/sidecar/sidecar.ts";
import { serveZtunnel, workload, type ZtunnelRig } from "../../testbed/ztunnel/server-rig.ts";
import { startZtunnel, type ZtunnelProcess } from "../../testbed/ztunnel/ztunnel-process.ts";
import { backendOf } from "./backend-fixture.ts";
import { NETTOOL } from "./case-table-stage.ts";

const never = new AbortController().signal;
/** Where the application of B listens. */
export const MESH_PORT = 8080;
export const MESH_ADDRESSES = { a: { 4: "10.88.0.1", 6: "fd88::1" }, b: { 4: "10.88.0.2", 6: "fd88::2" } } as const;

export interface Mesh extends AsyncDisposable {
  readonly rig: ZtunnelRig;
  readonly ztunnel: ZtunnelProcess;
  readonly a: TestNetns;
  readonly b: TestNetns;
  readonly application: Listener;
}

/** Two pods on one wire, B with an application, both in the mesh when it is through. */
export async function createMesh(
  dialect: BackendDialect,
  options: { readonly capture?: AmbientCapture; readonly tunnel?: boolean; readonly dns?: boolean } = {},
): Promise<Mesh> {
  await using owned = new AsyncDisposableStack();
  const [a, b] = [owned.use(createNetns()), owned.use(createNetns())];
  for (const pod of [a, b])
    pod.mustExec(["sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0", "net.ipv4.conf.all.rp_filter=0"]);
  a.mustExec(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b.path]);
  for (const [pod, addresses] of [
    [a, MESH_ADDRESSES.a],
    [b, MESH_ADDRESSES.b],
  ] as const) {
    pod.mustExec(["ip", "addr", "add", `${addresses[4]}/24`, "dev", "eth0"]);
    pod.mustExec(["ip", "addr", "add", `${addresses[6]}/64`, "dev", "eth0", "nodad"]);
    pod.mustExec(["ip", "link", "set", "eth0", "up"]);
  }
  const application = owned.use(await startApplication(NETTOOL, { netnsPath: b.path }, [MESH_PORT]));
  const rig = owned.use(await serveZtunnel());
  const ztunnel = owned.use(
    await startZtunnel({ socketPath: rig.path, tunnel: options.tunnel ?? false, dns: options.dns ?? false }),
  );
  await rig.until("the snapshot", () => rig.server.isConnected());
  const backend = backendOf(dialect);
  for (const [uid, pod] of [
    ["a", a],
    ["b", b],
  ] as const) {
    await backend.apply(pod.fd, options.capture ?? DEFAULT_AMBIENT_CAPTURE);
    assert.deepEqual(await rig.server.enroll(workload(uid), pod.fd, never), { result: "acknowledged" });
  }
  const all = owned.move();
  return { rig, ztunnel, a, b, application, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Asks an application from within a pod, as uid 1000. */
export const ask = (from: TestNetns, ip: string, port = MESH_PORT, timeoutMs = 20_000) =>
  probe(NETTOOL, { ip, port }, { pod: { netnsPath: from.path }, uid: 1000, timeoutMs });
