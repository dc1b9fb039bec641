// The runtime's chain of plugins: which file it takes, whether we are in it, whether the plugin is there, who else writes.

import { chooseConflist } from "../cni/choose-conflist.ts";
import { parseConf } from "../cni/conflist.ts";
import { hasOurEntry } from "../cni/edit-conflist.ts";
import type { HostView } from "../cni/host-view.ts";
import { PLUGIN_TYPE } from "../cni/plugin-entry.ts";
import { type CheckOutcome, type CheckRow, fail, notApplicable, ok, unknown, warn } from "./check.ts";
import type { NodeFacts } from "./node-facts.ts";

/** Network plugins that keep writing their own file, by the `type` in it (observed in the threads the check names). */
const REWRITERS: ReadonlyMap<string, string> = new Map([
  ["cilium-cni", "Cilium"],
  ["calico", "Calico"],
  ["aws-cni", "the Amazon VPC CNI"],
  ["multus", "Multus"],
  ["multus-shim", "Multus"],
]);

export const CNI_CHECKS: readonly CheckRow[] = [
  {
    id: "cni.primary",
    meaning: "Without a valid configuration of a primary network no pod starts, and there is nothing to chain into.",
    complaints: ["#44167", "#40303", "#53160"],
    decide(facts) {
      const { cniConfName, chained } = facts.settings.install;
      return withFiles(facts, (view) => {
        const choice = chooseConflist(view.files, {
          confName: chained ? cniConfName : undefined,
          ignore: ownNames(facts),
        });
        const passed = choice.skipped.map(({ name, reason }) => `${name}: ${reason}`).slice(0, 3);
        if (choice.chosen === undefined) {
          const why = passed.length === 0 ? `${view.path} holds none` : passed.join("; ");
          return fail(
            `no valid configuration of a primary network: ${why}`,
            cniConfName === undefined
              ? "Install the primary network plugin, or name the folder the runtime reads by CNI_NET_DIR (chart: cniConfDir)"
              : `Install the primary network plugin, or correct CNI_CONF_NAME, which is ${cniConfName}`,
          );
        }
        const { name } = choice.chosen;
        if (passed.length > 0) {
          return warn(
            `the runtime takes ${name}; files before it cannot be used: ${passed.join("; ")}`,
            "Mend or remove these files",
          );
        }
        if (choice.preemptedBy !== undefined) {
          return warn(
            `CNI_CONF_NAME is ${name}, but the runtime takes ${choice.preemptedBy} first`,
            "Unset CNI_CONF_NAME, unless the first file delegates to the other, as Multus does",
          );
        }
        return ok(`the runtime takes ${name}: ${typesIn(view, name).join(", ")}`);
      });
    },
  },
  {
    id: "cni.entry",
    meaning:
      "A pod is captured when the runtime calls the plugin at its start: its entry has to be in the file the runtime takes.",
    complaints: ["#40303", "#55968", "#60882", "#61182", "#48734", "#52761"],
    decide(facts) {
      const { decision, view } = facts.cni;
      if ("unknown" in view) return unknown(`the host's folders could not be looked at: ${view.unknown}`);
      if ("unknown" in decision) return unknown(`what should be there is not known: ${decision.unknown}`);
      const { state, reason, warnings, confName } = decision.value;
      const isInstalled = isChainedAnywhere(view.value);
      if (state === "installed") {
        const [warning] = warnings;
        return warning === undefined
          ? ok(`${confName ?? "the file"} has our entry as it should be`)
          : warn(warning, "See docs/host-files.md");
      }
      if (facts.agent.kind === "answers") {
        return state === "changing"
          ? warn(`${reason}; the agent is to change that`, "Look again in a few seconds; if it stays, see agent.ready")
          : fail(reason, "Mend what is named; the agent looks again every 10 seconds");
      }
      return isInstalled
        ? warn(
            `not as this configuration wants it: ${reason}`,
            "Start the agent, which brings it up to date by its variables; in its container they are read here too",
          )
        : notApplicable("nothing of istio-cni is in the runtime's chain; the agent puts it there");
    },
  },
  {
    id: "cni.plugin",
    meaning:
      "A configuration that names a plugin which is not there keeps every pod of the node from starting and ending.",
    complaints: ["#59846", "#58572", "#36821"],
    decide(facts) {
      const { view, absentPlugins } = facts.cni;
      if ("unknown" in view) return unknown(`the host's folders could not be looked at: ${view.unknown}`);
      const { binDirs, pluginUnavailable } = view.value;
      const isInstalled = isChainedAnywhere(view.value);
      const states = binDirs.map((dir) => `${dir.path}: ${"plugin" in dir ? dir.plugin : dir.unavailable}`).join("; ");
      const absent = binDirs.some((dir) => "plugin" in dir && dir.plugin === "absent");
      if (isInstalled && absent) {
        return fail(
          `the runtime's configuration names istio-cni, and the plugin is not there (${states})`,
          "Start the agent, which puts it back; or take the entry out by install-cni uninstall",
        );
      }
      if (pluginUnavailable !== undefined)
        return fail(pluginUnavailable, "Use the whole image: its plugin is in /opt/cni/bin");
      if (binDirs.some((dir) => "plugin" in dir && dir.plugin === "stale")) {
        return warn(
          `not the plugin of this build (${states})`,
          "Another version, or upstream's, is there: its agent, or this one when it starts, replaces it",
        );
      }
      if (absent) return notApplicable(`the plugin is not installed (${states})`);
      if (!binDirs.every((dir) => "plugin" in dir)) return unknown(states, "See folders.bin");
      // Of several folders of a runtime one may hold ours alone; none of them holds nothing of the network's own.
      const own = networkPlugins(view.value);
      return own.length > 0 && own.every((type) => absentPlugins.includes(type))
        ? warn(
            `${states}; but none of the network's own plugins is there (${own.join(", ")}), so the runtime takes them elsewhere`,
            "Name the folder that the runtime uses by CNI_BIN_DIR (chart: cniBinDir): bin_dir of containerd, plugin_dirs of CRI-O",
          )
        : ok(states);
    },
  },
  {
    id: "cni.agent",
    meaning:
      "While the plugin is in the chain and no agent answers, pods of the mesh are refused rather than started unprotected.",
    complaints: ["#38077", "#57438", "#57601", "#61718"],
    decide(facts) {
      if (facts.agent.kind === "answers") return ok("the agent answers");
      return withFiles(facts, () => {
        const view = "value" in facts.cni.view ? facts.cni.view.value : undefined;
        if (view === undefined || !isChainedAnywhere(view))
          return notApplicable("the plugin is not in the runtime's chain");
        return fail(
          `the plugin is in the runtime's chain, and no agent answers it: ${facts.agent.kind === "answers" ? "" : facts.agent.reason}`,
          "Start the agent's pod on this node; where istio-cni is gone for good, run install-cni uninstall",
        );
      });
    },
  },
  {
    id: "cni.writers",
    meaning:
      "Another program that writes the same file takes our entry out again, and pods that start meanwhile are refused or unmeshed.",
    complaints: ["cilium#26760", "#49538", "#60882", "#48734", "#44392"],
    decide(facts) {
      if (facts.agent.kind === "answers") {
        const { rewrites, warnings, confName } = facts.agent.status.install;
        if (rewrites > 0) {
          return warn(
            `another writer took our entry out of ${confName ?? "the file"} ${rewrites} times since the agent started`,
            "Set cni.exclusive=false in Cilium; CNI_CONFLIST_FIGHT=own, or in ambient mode ISTIO_OWNED_CNI_CONFIG=true, moves us to a file of our own",
          );
        }
        const [warning] = warnings;
        if (warning !== undefined) return warn(warning, "See docs/host-files.md");
      }
      return withFiles(facts, (view) => {
        const types = view.files.flatMap(({ name }) => typesIn(view, name));
        const writers = new Set(types.flatMap((type) => REWRITERS.get(type) ?? []));
        if (
          writers.has("Multus") &&
          facts.settings.install.chained &&
          facts.settings.install.cniConfName === undefined
        ) {
          return warn(
            "Multus is the first in this folder, and the plugin is to be chained into its file",
            "Set CHAINED_CNI_PLUGIN=false with a NetworkAttachmentDefinition, or CNI_CONF_NAME to the file Multus delegates to",
          );
        }
        return ok(
          writers.size === 0
            ? "no program is known to rewrite these files"
            : `${[...writers].join(", ")} may write its file; nothing was lost so far`,
        );
      });
    },
  },
  {
    id: "cni.tokens",
    meaning:
      "A token for the API server in a file of the host is a secret that nobody renews and the plugin does not need.",
    complaints: ["#38077", "#54303", "#55304", "#58111"],
    decide({ cni }) {
      return cni.strayTokens.length === 0
        ? ok("no kubeconfig of istio-cni lies on the host")
        : warn(
            `kubeconfigs of an earlier installation: ${cni.strayTokens.join(", ")}`,
            "The agent removes them once it is installed; if none is to come, remove them by hand",
          );
    },
  },
];

type Files = Extract<HostView["netDir"], { files: unknown }>;

function withFiles(facts: NodeFacts, decide: (view: Files) => CheckOutcome): CheckOutcome {
  const { view } = facts.cni;
  if ("unknown" in view) return unknown(`the host's folders could not be looked at: ${view.unknown}`);
  const { netDir } = view.value;
  return "unavailable" in netDir ? unknown(netDir.unavailable, "See folders.conf") : decide(netDir);
}

function ownNames({ settings }: NodeFacts): readonly string[] {
  return [settings.install.ownedConfigName];
}

function typesIn(view: Files, name: string): readonly string[] {
  const file = view.files.find((candidate) => candidate.name === name);
  if (file === undefined || !("bytes" in file.content)) return [];
  const conf = parseConf(name, file.content.bytes);
  if (conf.kind === "invalid") return [];
  return (conf.kind === "list" ? conf.plugins : [conf.plugin]).map(({ type }) => type);
}

/** Types of all plugins that the node's configurations name, but ours. */
export function networkPlugins({ netDir }: HostView): readonly string[] {
  if ("unavailable" in netDir) return [];
  const types = netDir.files.flatMap(({ name }) => typesIn(netDir, name));
  return [...new Set(types)].filter((type) => type !== PLUGIN_TYPE && !type.includes("/"));
}

function isChainedAnywhere({ netDir }: HostView): boolean {
  if ("unavailable" in netDir) return false;
  return netDir.files.some(({ name, content }) => {
    const conf = "bytes" in content ? parseConf(name, content.bytes) : undefined;
    return conf !== undefined && conf.kind !== "invalid" && hasOurEntry(conf);
  });
}
