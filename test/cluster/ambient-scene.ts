// What the tests of ambient mode in a cluster share: one cluster, the pods that stay through all of them, and what it means
// to be in the mesh: the API says so, ztunnel has the pod, and requests out of it and into it pass ztunnel's listeners.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readText } from "../../testbed/api-server/kube-object.ts";
import { type AgentCluster, createAgentCluster, mustWork } from "../../testbed/cluster/agent-cluster.ts";
import { type Cluster, until } from "../../testbed/cluster/create-cluster.ts";
import type { Lab } from "../../testbed/cluster/lab.ts";
import type { PodChoice } from "../../testbed/cluster/mesh-pod.ts";
import {
  isConnection,
  parseEvents,
  proxiedUids,
  readZtunnelEvents,
  redirectionOf,
  waitRedirection,
} from "../../testbed/cluster/observe-ambient.ts";
import { addressesOf, agentLog, connect, listComplaintsAbout, readPods } from "../../testbed/cluster/observe-pods.ts";
import { openPodNetns } from "../../testbed/cluster/pod-netns.ts";
import type { ProxiedConnection } from "../../testbed/ztunnel/ztunnel-process.ts";

/** Labelled for the mesh before it has pods; and the one that has pods first. */
export const [NAMESPACE, LATE_NAMESPACE] = ["mesh", "late"];
/** Never in the mesh. */
export const OUTSIDE_NAMESPACE = "shop";
export const pod = (name: string, namespace = NAMESPACE): PodChoice => ({ name, namespace });

export const [client, server] = [pod("client"), pod("server")];
/** Nobody but the kubelet ever asks these. */
export const [probedByHttp, probedBySocket] = [pod("probed-by-http"), pod("probed-by-socket")];
export const [lateByHttp, lateBySocket] = [pod("late-by-http", LATE_NAMESPACE), pod("late-by-socket", LATE_NAMESPACE)];
export const [plain, peer] = [pod("plain", OUTSIDE_NAMESPACE), pod("peer", OUTSIDE_NAMESPACE)];

/** HOST_PROBE_SNAT_IP: as whom the kubelet's probes come to a pod of the mesh. */
const PROBE_SOURCE = "169.254.7.127";
/** Checks that run kubectl, so many at a time: the machine has two cores, and the node is on it too. */
const AT_ONCE = 4;

/** One connection that an application accepted. */
interface Accepted {
  readonly port: number;
  readonly peer: string;
}

/** Opened before the first test and closed after the last. */
export interface AmbientScene extends AsyncDisposable {
  open(): Promise<void>;
  readonly agent: AgentCluster;
  readonly cluster: Cluster;
  /** Undefined in a cluster that KUBECONFIG names. */
  readonly lab: Lab | undefined;
  labelNamespace(name: string, mode: "ambient" | undefined): Promise<void>;
  /** Asserts that the API says `enabled`, that ztunnel has them, and that a request from each to the next passes both
   * ztunnel listeners. At least two pods. */
  assertInMesh(...pods: readonly PodChoice[]): Promise<void>;
  /** Asserts that the API says nothing, that ztunnel has them not, that requests out of and into them pass no ztunnel, and
   * in the lab that no rule of ours is left in their namespace. */
  assertOutside(...pods: readonly PodChoice[]): Promise<void>;
  /** In the lab: waits until nothing of ours is left in its network namespace. */
  untilWithoutRules(each: PodChoice): Promise<void>;
  /** Waits until the kubelet has asked each `times` times under the address of probes, and asserts that ztunnel has seen
   * none of that. */
  assertProbesPass(pods: readonly PodChoice[], times: number): Promise<void>;
  /** Since when each is Ready, as the API tells. */
  readySince(...pods: readonly PodChoice[]): Promise<readonly string[]>;
  /** Asserts that no start of these pods was refused. */
  assertStartedAtOnce(...pods: readonly PodChoice[]): Promise<void>;
  uidsOf(...pods: readonly PodChoice[]): Promise<readonly string[]>;
  /** The lab's containerd since it was made. */
  readContainerdLog(): string;
}

export function createAmbientScene(): AmbientScene {
  let opened: AgentCluster | undefined;
  const agent = (): AgentCluster => mustWork(opened);
  const cluster = (): Cluster => agent().cluster;
  const uidsOf: AmbientScene["uidsOf"] = async (...pods) =>
    (await readPods(cluster(), pods)).map((each) => readText(each, "metadata", "uid"));
  const countEvents = async (): Promise<number> => (await readZtunnelEvents(cluster())).length;
  const connectionsSince = async (seen: number): Promise<readonly ProxiedConnection[]> =>
    (await readZtunnelEvents(cluster())).slice(seen).filter(isConnection);

  /** Connects from each to its partner; all must be answered by the application itself, as ztunnel is not to be seen. */
  async function connectAll(pairs: readonly (readonly [from: PodChoice, to: PodChoice])[]): Promise<void> {
    const addresses = await addressesOf(
      cluster(),
      pairs.map(([, to]) => to),
    );
    const left = pairs.entries();
    const work = async (): Promise<void> => {
      for (const [index, [from, to]] of left) {
        const its = addresses[index];
        assert.ok(its);
        const expected = { outcome: "direct", port: its.port };
        assert.deepEqual(await connect(cluster(), from, its), expected, `${from.name} to ${to.name}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /** Waits until ztunnel tells of a connection that was forwarded. */
  async function untilForwarded(seen: number, wanted: readonly Partial<ProxiedConnection>[]): Promise<void> {
    let missing = wanted;
    const isMet = (line: ProxiedConnection, one: Partial<ProxiedConnection>): boolean =>
      line.result === "forwarded" &&
      Object.entries(one).every(([key, value]) => line[key as keyof ProxiedConnection] === value);
    try {
      await until("what ztunnel forwards", 60_000, async () => {
        const found = await connectionsSince(seen);
        missing = wanted.filter((one) => !found.some((line) => isMet(line, one)));
        return missing.length === 0;
      });
    } catch (error) {
      const told = (await connectionsSince(seen)).map((line) => JSON.stringify(line));
      throw new Error([String(error), `missing: ${JSON.stringify(missing)}`, ...told].join("\n"), { cause: error });
    }
  }

  async function acceptedBy({ namespace, name }: PodChoice): Promise<readonly Accepted[]> {
    const log = await cluster().kubectl(["-n", namespace, "logs", name, "-c", "app"]);
    return parseEvents(log).flatMap(({ event, port, peer }) =>
      event === "connection" ? [{ port: Number(port), peer: String(peer) }] : [],
    );
  }

  async function untilWithoutRules(each: PodChoice): Promise<void> {
    const { lab } = cluster();
    if (lab === undefined) return;
    using netns = await openPodNetns(lab, each);
    const commands = [["ip", "rule"], ["ip", "route", "show", "table", "all"], ["ip6tables-nft-save"]];
    await until(`the end of our rules in ${each.name}`, 60_000, async () => {
      const found = await Promise.all([netns.rules(), ...commands.map((argv) => netns.exec(argv))]);
      return !/ISTIO|fwmark 0x111|table 100/.test(found.join("\n"));
    });
  }

  return {
    async open() {
      opened = await createAgentCluster("ambient", NAMESPACE);
      await opened.cluster.createNamespace(LATE_NAMESPACE);
      await opened.cluster.createNamespace(OUTSIDE_NAMESPACE);
    },
    get agent() {
      return agent();
    },
    get cluster() {
      return cluster();
    },
    get lab() {
      return cluster().lab;
    },
    async labelNamespace(name, mode) {
      const label = mode === undefined ? "istio.io/dataplane-mode-" : `istio.io/dataplane-mode=${mode}`;
      await cluster().kubectl(["label", "namespace", name, label, "--overwrite"]);
    },
    uidsOf,
    async assertInMesh(...pods) {
      assert.ok(pods.length > 1, "a request is between two");
      await waitRedirection(cluster(), pods, "enabled");
      const uids = await uidsOf(...pods);
      const events = await readZtunnelEvents(cluster());
      const proxied = proxiedUids(events);
      assert.deepEqual(
        pods.filter((_, index) => !proxied.has(uids[index] ?? "")).map(({ name }) => name),
        [],
        "said to be enabled, and ztunnel has them not",
      );
      const next = (index: number): number => (index + 1) % pods.length;
      await connectAll(pods.map((each, index) => [each, pods[next(index)] ?? each]));
      const addresses = await addressesOf(cluster(), pods);
      await untilForwarded(
        events.length,
        uids.flatMap((uid, index) => [
          { uid, direction: "outbound", destination: addresses[next(index)]?.text ?? "" },
          { uid, direction: "inbound", destination: addresses[index]?.text ?? "" },
        ]),
      );
    },
    async assertOutside(...pods) {
      const seen = await countEvents();
      const [from, to] = [client, server];
      await connectAll([
        ...pods.flatMap((each): (readonly [PodChoice, PodChoice])[] => [
          [plain, each],
          [each, plain],
        ]),
        // Seen in ztunnel's log after the others, were they there.
        [from, to],
      ]);
      const [marker = ""] = await uidsOf(to);
      await untilForwarded(seen, [{ uid: marker, direction: "inbound" }]);
      const uids = new Set(await uidsOf(...pods));
      assert.deepEqual(
        (await connectionsSince(seen)).filter(({ uid }) => uids.has(uid)),
        [],
      );
      const proxied = proxiedUids(await readZtunnelEvents(cluster()));
      assert.deepEqual(
        [...uids].filter((uid) => proxied.has(uid)),
        [],
        "ztunnel has them",
      );
      assert.deepEqual((await readPods(cluster(), pods)).map(redirectionOf).filter(Boolean), []);
      for (const each of pods) await untilWithoutRules(each);
    },
    untilWithoutRules,
    async assertProbesPass(pods, times) {
      const seen = await countEvents();
      const begun = await Promise.all(pods.map(async (each) => (await acceptedBy(each)).length));
      const isProbe = ({ peer: from }: Accepted): boolean => from.startsWith(`${PROBE_SOURCE}:`);
      for (const [index, each] of pods.entries()) {
        let accepted: readonly Accepted[] = [];
        try {
          await until(`probes of ${each.name}`, 60_000, async () => {
            accepted = (await acceptedBy(each)).slice(begun[index]);
            return accepted.filter(isProbe).length >= times;
          });
        } catch (error) {
          const told = accepted.map((line) => JSON.stringify(line));
          throw new Error([String(error), ...told, await agentLog(cluster())].join("\n"), { cause: error });
        }
        assert.deepEqual(
          accepted.filter((line) => !isProbe(line)),
          [],
          `${each.name} was asked by others`,
        );
      }
      const uids = new Set(await uidsOf(...pods));
      assert.deepEqual(
        (await connectionsSince(seen)).filter(({ uid }) => uids.has(uid)),
        [],
        "ztunnel has seen probes",
      );
    },
    async readySince(...pods) {
      return (await readPods(cluster(), pods)).map((each) => {
        const conditions = (each["status"] as { readonly conditions?: unknown } | undefined)?.conditions;
        const ready = Array.isArray(conditions)
          ? conditions.find((one) => readText(one, "type") === "Ready")
          : undefined;
        return `${readText(ready, "status")} since ${readText(ready, "lastTransitionTime")}`;
      });
    },
    async assertStartedAtOnce(...pods) {
      assert.deepEqual(await listComplaintsAbout(cluster(), pods), []);
    },
    readContainerdLog: () => readFileSync(join(cluster().lab?.stateDir ?? "", "log/containerd.log"), "utf8"),
    async [Symbol.asyncDispose]() {
      await opened?.[Symbol.asyncDispose]();
    },
  };
}
