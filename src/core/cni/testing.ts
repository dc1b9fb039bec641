// For tests: our object in a conflist as an agent in sidecar mode has it, and a host of names and texts.
import { type ConfFile, chooseConflist } from "./choose-conflist.ts";
import { isConfFileName, parseConf } from "./conflist.ts";
import { type DesiredInstall, decideInstall, type InstallDecision } from "./decide-install.ts";
import { decideRemoval } from "./decide-removal.ts";
import { hasOurEntry } from "./edit-conflist.ts";
import { BACKUP_SUFFIX, type HostView, type InstallStep } from "./host-view.ts";
import type { PluginEntry, PluginEntryOptions } from "./plugin-entry.ts";

export const SAMPLE_ENTRY_OPTIONS: PluginEntryOptions = {
  ambientEnabled: false,
  agentRunDir: "/var/run/istio-cni",
  ambientDetectionRetry: false,
  enablementSelectors: [],
  excludeNamespaces: ["kube-system"],
  nativeNftables: false,
  pluginLogLevel: "info",
  podNamespace: "istio-system",
  agentWaitMs: 10_000,
};

export const SAMPLE_ENTRY: PluginEntry = { exclude_namespaces: null, type: "istio-cni" };
export const SAMPLE_OBJECT = JSON.stringify(SAMPLE_ENTRY);
export const SAMPLE_LIST = '{"name":"n","plugins":[{"type":"p"}]}';
export const SAMPLE_SINGLE = '{"cniVersion":"0.3.1","name":"n","type":"p"}';

export const SAMPLE_DESIRED: DesiredInstall = {
  entry: SAMPLE_ENTRY,
  mode: "chained",
  confName: undefined,
  ownedName: "02-istio-cni.conflist",
  settleMs: 2000,
};

/** Files by name; `unchangedMs` is the same for all files. */
export class TextHost {
  readonly files = new Map<string, string>();
  hasPlugin = false;
  unchangedMs = 10_000;

  constructor(files: Record<string, string> = {}) {
    for (const [name, text] of Object.entries(files)) this.files.set(name, text);
  }

  view(): HostView {
    const encoder = new TextEncoder();
    const files: ConfFile[] = [];
    const backups = new Map<string, Uint8Array>();
    for (const [name, text] of this.files) {
      const bytes = encoder.encode(text);
      if (isConfFileName(name)) files.push({ name, content: { bytes }, unchangedMs: this.unchangedMs });
      if (name.endsWith(BACKUP_SUFFIX)) backups.set(name, bytes);
    }
    const plugin = this.hasPlugin ? "current" : "absent";
    return {
      pluginUnavailable: undefined,
      netDir: { path: "/net.d", files, backups },
      binDirs: [{ path: "/bin", plugin }],
    };
  }

  apply(step: InstallStep): void {
    const decoder = new TextDecoder();
    if ("dir" in step) this.hasPlugin = step.kind === "copy-plugin";
    else {
      const expected = step.expected === undefined ? undefined : decoder.decode(step.expected);
      if (this.files.get(step.name) !== expected) throw new Error(`${step.name} is not what the step expects`);
      if (step.kind === "write-conf") this.files.set(step.name, decoder.decode(step.bytes));
      else this.files.delete(step.name);
    }
  }

  /** One pass after another until nothing is to be done. */
  settle(desired: DesiredInstall = SAMPLE_DESIRED): InstallDecision {
    for (let pass = 0; pass < 5; pass++) {
      const decision = decideInstall(this.view(), desired);
      if (decision.steps.length === 0) return decision;
      for (const step of decision.steps) this.apply(step);
    }
    throw new Error("still changing after 5 passes");
  }

  remove(): void {
    for (const step of decideRemoval(this.view(), SAMPLE_DESIRED)) this.apply(step);
  }

  contents(): Record<string, string> {
    return Object.fromEntries(this.files);
  }

  /** What a runtime that skips invalid files (CRI-O) runs; undefined when there is none. */
  inUse(): { readonly name: string; readonly hasUs: boolean } | undefined {
    const netDir = this.view().netDir;
    if ("unavailable" in netDir) throw new Error(netDir.unavailable);
    const { chosen } = chooseConflist(netDir.files, {});
    return chosen && { name: chosen.name, hasUs: hasOurEntry(chosen.conf) };
  }

  namesPlugin(): boolean {
    return [...this.files].some(([name, text]) => {
      const conf = isConfFileName(name) ? parseConf(name, new TextEncoder().encode(text)) : undefined;
      return conf !== undefined && conf.kind !== "invalid" && hasOurEntry(conf);
    });
  }
}
