// What this process may do: capabilities, security modules, namespaces, limits. Run in the agent's container, it speaks for
// the agent; on the node itself, for whoever runs it.

import { missingCapabilities, NEEDED_CAPABILITIES } from "../policy/needed-capabilities.ts";
import { type CheckRow, fail, notApplicable, ok, unknown, warn } from "./check.ts";
import { knownOf, type NodeFacts } from "./node-facts.ts";
import { isFirstUserNamespace, parseFileLimit, parseSeccomp } from "./proc-texts.ts";

/** Without which of them the agent does not work at all. */
const IS_ESSENTIAL: Readonly<Partial<Record<string, (facts: NodeFacts) => boolean>>> = {
  NET_ADMIN: () => true,
  SYS_ADMIN: () => true,
  SYS_PTRACE: needsProc,
};

/** The agent looks through the node's processes. */
function needsProc({ settings: { repair, ambient } }: NodeFacts): boolean {
  return ambient.enabled || (repair.enabled && repair.repairPods);
}

const CHART = "the DaemonSet's securityContext has to grant what the chart's does";
const FILES_ENOUGH = 4096;

export const RIGHTS_CHECKS: readonly CheckRow[] = [
  {
    id: "rights.capabilities",
    meaning: "The agent is not privileged; it needs five capabilities and says which one is missing.",
    complaints: ["#48746", "#56569", "#54389", "#55257"],
    decide(facts) {
      const missing = missingCapabilities(knownOf(facts.rights.status) ?? "");
      if (missing === undefined) return unknown("/proc/self/status does not tell the capabilities");
      if (missing.length === 0) return ok(NEEDED_CAPABILITIES.map(({ name }) => name).join(", "));
      const finding = `missing: ${missing.map(({ name, use }) => `${name} (${use})`).join(", ")}`;
      const next = `Add them: ${CHART}; on the node itself, run this as root`;
      return missing.some(({ name }) => IS_ESSENTIAL[name]?.(facts) === true)
        ? fail(finding, next)
        : warn(finding, next);
    },
  },
  {
    id: "rights.namespaces",
    meaning:
      "Capturing a pod means entering its network namespace; seccomp and security modules may forbid that to anybody.",
    complaints: ["#54719", "#53849"],
    decide({ rights }) {
      const seccomp = parseSeccomp(knownOf(rights.status) ?? "");
      const words = seccomp === undefined ? "" : `; seccomp is ${["off", "strict", "a filter"][seccomp] ?? seccomp}`;
      if ("value" in rights.netns) return ok(`a network namespace was made and entered${words}`);
      return fail(
        `no network namespace could be made and entered: ${rights.netns.unknown}${words}`,
        `Grant SYS_ADMIN, and let the seccomp profile and the security module allow unshare and setns; ${CHART}`,
      );
    },
  },
  {
    id: "rights.user-namespace",
    meaning: "Rules of the host's pods can only be written from the machine's first user namespace.",
    complaints: [],
    decide({ rights: { uidMap } }) {
      if ("unknown" in uidMap) return unknown(`/proc/self/uid_map cannot be read: ${uidMap.unknown}`);
      return isFirstUserNamespace(uidMap.value)
        ? ok("this is the machine's first user namespace")
        : fail(
            "this runs in a user namespace of its own",
            "Take hostUsers: false off the DaemonSet, or use a node that is no container",
          );
    },
  },
  {
    id: "rights.security-module",
    meaning:
      "SELinux and AppArmor confine containers whatever their capabilities; the host's folders and namespaces are then shut.",
    complaints: ["#48746", "#48757", "#56569", "#53888", "#53953"],
    decide({ rights: { label, isSelinuxEnforcing } }) {
      if ("unknown" in label) return unknown(`/proc/self/attr/current cannot be read: ${label.unknown}`);
      const text = label.value.replace(/\0/g, "").trim();
      if (text === "") return ok("no security module labels this process");
      const type = /^[^:]+:[^:]+:([^:]+)/.exec(text)?.[1];
      if (type !== undefined) {
        if (type !== "container_t") return ok(`SELinux label ${text}`);
        const finding = `SELinux label ${text}, which may not write to the host's folders`;
        const next = "Set seLinuxOptions.type: spc_t on the DaemonSet (the chart's seLinuxOptions)";
        return isSelinuxEnforcing === false
          ? warn(`${finding} (SELinux is not enforcing now)`, next)
          : fail(finding, next);
      }
      if (text === "unconfined" || !/\((?:enforce|kill)\)$/.test(text)) return ok(`AppArmor: ${text}`);
      return warn(
        `AppArmor profile ${text} confines this process`,
        "Set appArmorProfile.type: Unconfined on the container, as the chart does, if namespaces or files are refused",
      );
    },
  },
  {
    id: "rights.limits",
    meaning: "Every pod takes descriptors of the agent, and every folder it watches an inotify instance.",
    complaints: ["ztunnel#1585", "#56888", "#36821"],
    decide({ rights }) {
      if ("unknown" in rights.inotify) {
        return warn(
          `no folder can be watched: ${rights.inotify.unknown}`,
          "Raise fs.inotify.max_user_instances and fs.inotify.max_user_watches on the node; until then changes are found by a timer",
        );
      }
      const files = parseFileLimit(knownOf(rights.limits) ?? "");
      if (files === undefined) return unknown("/proc/self/limits does not tell the limit of open files");
      return files < FILES_ENOUGH
        ? warn(
            `at most ${files} open files`,
            `Raise the runtime's limit of open files (LimitNOFILE) to ${FILES_ENOUGH} or more`,
          )
        : ok(`${Number.isFinite(files) ? files : "any number of"} open files; folders can be watched`);
    },
  },
  {
    id: "rights.processes",
    meaning: "Pods that started without the plugin are found by the node's processes, in /host/proc.",
    complaints: ["#55139", "#50198", "#60478"],
    decide(facts) {
      if (!needsProc(facts)) return notApplicable("nothing here looks through the node's processes");
      const { processes } = facts;
      if ("unknown" in processes) {
        return fail(
          `the node's processes cannot be seen: ${processes.unknown}`,
          "Mount the host's /proc at /host/proc, read-only",
        );
      }
      const { total, inPods } = processes.value;
      if (inPods > 0) return ok(`${total} processes, ${inPods} of them in cgroups of pods`);
      const finding = `${total} processes, none in a cgroup that names a pod`;
      const hasPods = facts.agent.kind === "answers" && facts.agent.status.summary.captured > 0;
      return hasPods
        ? warn(
            finding,
            "The cgroups of this node are laid out in a way that is not known here: report /proc/PID/cgroup of a pod's process",
          )
        : unknown(`${finding}: no pod may run here, or /host/proc is not the host's`);
    },
  },
];
