// Facts of a node on which all is well, and what a test changes about them.

import type { ConfFile } from "../cni/choose-conflist.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { resolveConfig } from "../config/resolve-config.ts";
import { parseMountInfo } from "../mount-info.ts";
import { samplePod, sampleStatus } from "../status/testing.ts";
import { neededRights } from "./needed-rights.ts";
import type { FolderFacts, FolderRole, NodeFacts } from "./node-facts.ts";

export const NOW_MS = Date.parse("2026-01-02T03:04:05.000Z");

/** The agent's settings in a container as the chart makes it. */
export function settingsOf(env: Readonly<Record<string, string>> = {}): AgentConfig {
  const chart = {
    NODE_NAME: "node-1",
    POD_NAMESPACE: "istio-system",
    REPAIR_ENABLED: "true",
    REPAIR_REPAIR_PODS: "true",
  };
  return resolveConfig({ flags: new Map(), env: { ...chart, ...env } }).config;
}

export const CONFLIST = '{"cniVersion":"1.0.0","name":"k8s","plugins":[{"type":"calico"},{"type":"istio-cni"}]}';

export function confFile(name: string, text: string): ConfFile {
  return { name, content: { bytes: new TextEncoder().encode(text) }, unchangedMs: 0 };
}

export function folder(
  role: FolderRole,
  path: string,
  changes: Partial<NonNullable<FolderFacts["found"]>> = {},
): FolderFacts {
  const space = { value: { freeBytes: 2 ** 33, freeInodes: 100_000, totalInodes: 200_000 } };
  return {
    role,
    candidates: [path],
    found: { path, realPath: path, isFolder: true, isWritable: { value: true }, space, ...changes },
  };
}

/** /proc/self/mountinfo of the agent's container, shortened. */
export const MOUNTS = [
  "100 99 0:50 / / rw,relatime - overlay overlay rw",
  "101 100 8:1 /etc/cni/net.d /host/etc/cni/net.d rw,relatime master:1 - ext4 /dev/sda1 rw",
  "102 100 8:1 /opt/cni/bin /host/opt/cni/bin rw,relatime master:1 - ext4 /dev/sda1 rw",
  "103 100 0:22 /istio-cni /run/istio-cni rw,nosuid - tmpfs tmpfs rw",
  "104 100 0:5 / /host/proc ro,relatime - proc proc rw",
  "105 100 0:22 /ztunnel /run/ztunnel rw,nosuid - tmpfs tmpfs rw",
].join("\n");

const STATUS_TEXT = "Name:\tnode\nCapEff:\t00000000002830ff\nSeccomp:\t2\n";

export function healthyFacts(changes: Partial<NodeFacts> = {}): NodeFacts {
  const settings = changes.settings ?? settingsOf();
  const view = {
    pluginUnavailable: undefined,
    netDir: { path: "/host/etc/cni/net.d", files: [confFile("10-calico.conflist", CONFLIST)], backups: new Map() },
    binDirs: [{ path: "/host/opt/cni/bin", plugin: "current" as const }],
  };
  const decision = {
    ...{ state: "installed" as const, reason: "10-calico.conflist runs our plugin", steps: [], warnings: [] },
    confName: "10-calico.conflist",
    recheckMs: undefined,
  };
  return {
    wallMs: NOW_MS,
    version: "0.1.0",
    nodeName: "node-1",
    settings,
    configProblems: [],
    configWarnings: [],
    isContainer: true,
    kernel: {
      release: { value: "6.18.44" },
      hasIpv6: true,
      rules: {
        value: {
          toldBy: "agent",
          isIncomplete: false,
          message: "Writing rules as iptables-nft: the kernel has all that the default capture needs",
          missing: [],
          hasUserNamespaces: true,
        },
      },
      hostProbes: settings.ambient.enabled ? { value: undefined } : undefined,
    },
    rights: {
      status: { value: STATUS_TEXT },
      limits: {
        value:
          "Limit   Soft Limit   Hard Limit   Units\nMax open files            1024                 524288               files\n",
      },
      uidMap: { value: "         0          0 4294967295\n" },
      label: { value: "unconfined\n" },
      isSelinuxEnforcing: undefined,
      netns: { value: true },
      inotify: { value: true },
    },
    mounts: { value: parseMountInfo(MOUNTS) },
    folders: [
      folder("conf", "/host/etc/cni/net.d"),
      folder("bin", "/host/opt/cni/bin"),
      folder("run", "/var/run/istio-cni", { realPath: "/run/istio-cni" }),
      folder("proc", "/host/proc", { isWritable: { value: false } }),
      ...(settings.ambient.enabled ? [folder("ztunnel", "/var/run/ztunnel", { realPath: "/run/ztunnel" })] : []),
    ],
    cni: { view: { value: view }, decision: { value: decision }, absentPlugins: [], strayTokens: [] },
    api: {
      endpoint: { value: "10.96.0.1:443" },
      token: { value: { source: "the token", expiresAtMs: NOW_MS + 3_600_000, notBeforeMs: NOW_MS - 1000 } },
      answer: { value: { dateMs: NOW_MS + 400, refusal: undefined } },
      rights: neededRights(settings).map((right) => ({ right, isAllowed: { value: true } })),
      node: { value: { isRight: true, why: "pod istio-cni-node-abcde runs on node-1" } },
    },
    agent: { kind: "answers", status: sampleStatus([samplePod()]) },
    listening: { value: new Set([8000, 15014]) },
    processes: { value: { total: 200, inPods: 40, sandboxes: [] } },
    ...changes,
  };
}
