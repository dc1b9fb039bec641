/**
 * What is to be done on a host so that the runtime runs our plugin for every pod: a pure comparison of what is there
 * with what is wanted. Called on every change and on a timer; when nothing is to be done the answer has no steps.
 *
 * Invariants: the plugin is in every folder before any file names it; a foreign file changes by our object only; a file
 * that has our object once keeps it (brought up to date) while we are chained, even when another file takes precedence,
 * so that no order of events leaves the runtime with a list without us for longer than one pass.
 */

import { isSameBytes } from "../same-bytes.ts";
import { type ConfChoice, type ConfFile, chooseConflist, compareNames, type SkippedConf } from "./choose-conflist.ts";
import { type Conflist, extensionOf, isConfFileName, parseConf, type SingleConf } from "./conflist.ts";
import { hasForeignPlugin, hasOurEntry, isMadeOf, toConflist, withOurEntry, withoutOurEntry } from "./edit-conflist.ts";
import { BACKUP_SUFFIX, type HostView, type InstallStep, type NetDirView } from "./host-view.ts";
import { type PluginEntry, renderStandaloneConf } from "./plugin-entry.ts";

export const DEFAULT_STANDALONE_NAME = "YYY-istio-cni.conf";

export type DesiredInstall = {
  readonly entry: PluginEntry;
  /** chained: into the primary file; owned: into a copy of it under `ownedName`; standalone: a file of its own (Multus). */
  readonly mode: "chained" | "owned" | "standalone";
  /** CNI_CONF_NAME: the primary file, or the standalone file's name. */
  readonly confName: string | undefined;
  readonly ownedName: string;
  /** How long an invalid file may still be in the making before a file of lower priority is changed instead. */
  readonly settleMs: number;
};

export type InstallDecision = {
  /**
   * installed: nothing to do. changing: steps to do, then look again. waiting: for somebody else, steps may be given for
   * the part that does not depend on it. blocked: a person must act; steps as with waiting.
   */
  readonly state: "installed" | "changing" | "waiting" | "blocked";
  /** One sentence, without a full stop. */
  readonly reason: string;
  readonly steps: readonly InstallStep[];
  /** The file the runtime finds us in, when known. */
  readonly confName: string | undefined;
  /** Things a person should know although we go on. */
  readonly warnings: readonly string[];
  /** Look again after so long, although nothing may have changed by then. */
  readonly recheckMs: number | undefined;
};

/** A CNI folder that could be read. */
export type Folder = Exclude<NetDirView, { unavailable: string }>;
type ListFile = { readonly name: string; readonly conf: Conflist };

/** Never throws for any view. */
export function decideInstall(view: HostView, desired: DesiredInstall): InstallDecision {
  const copies = view.binDirs.flatMap((dir): InstallStep[] =>
    "plugin" in dir && dir.plugin !== "current" ? [{ kind: "copy-plugin", dir: dir.path }] : [],
  );
  const problem = findProblem(view);
  if (problem !== undefined) return outcome("blocked", problem, view.pluginUnavailable === undefined ? copies : []);
  if ("unavailable" in view.netDir) return outcome("blocked", view.netDir.unavailable, copies);
  const files = decideFiles(view.netDir, desired);
  const spoilt = describeSpoilt(files.steps);
  if (spoilt !== undefined) return outcome("blocked", spoilt, copies);
  const steps = [...copies, ...files.steps];
  if (files.state !== "installed" || steps.length === 0) return { ...files, steps };
  const reason =
    copies.length > 0
      ? "the plugin on the host is not ours of this version"
      : `${files.confName} is not as it should be`;
  return { ...files, state: "changing", reason, steps };
}

function findProblem(view: HostView): string | undefined {
  if (view.pluginUnavailable !== undefined) return view.pluginUnavailable;
  if (view.binDirs.length === 0) return "no folder for plugins is configured";
  return view.binDirs.flatMap((dir) => ("unavailable" in dir ? [dir.unavailable] : []))[0];
}

/** A file that no runtime, or not we, could read any more once it is written: the node would start no pods, and stay so. */
function describeSpoilt(steps: readonly InstallStep[]): string | undefined {
  for (const step of steps) {
    if (step.kind !== "write-conf" || !isConfFileName(step.name)) continue;
    const conf = parseConf(step.name, step.bytes);
    if (conf.kind === "invalid") return `${step.name} would be of no use with our object in it: ${conf.reason}`;
  }
  return undefined;
}

function decideFiles(folder: Folder, desired: DesiredInstall): InstallDecision {
  if (desired.mode === "standalone") return decideStandalone(folder, desired);
  const ownFile = ownedFile(folder, desired);
  const ignore = desired.mode === "owned" || ownFile !== undefined ? [desired.ownedName] : [];
  const choice = chooseConflist(folder.files, { confName: desired.confName, ignore });
  const { chosen, preemptedBy } = choice;
  const unreadable = choice.skipped.find(({ kind }) => kind === "unreadable");
  const unsettled = findUnsettled(choice, desired);
  if (unsettled !== undefined) return unsettled;
  if (chosen === undefined) {
    return unreadable === undefined
      ? outcome("waiting", describeNothing(folder, choice, desired), [])
      : outcome("blocked", describeUnreadable(unreadable), []);
  }
  let decision =
    desired.mode === "owned"
      ? decideOwned(folder, chosen, desired, ownFile?.conf.bytes)
      : decideChained(folder, chosen, desired, ownFile?.conf.bytes);
  if (decision.state === "installed")
    decision = { ...decision, steps: [...decision.steps, ...retireStandalone(folder)] };
  // A runtime that cannot read it either takes the file we have chosen; one that can must not be told to be captured.
  if (unreadable !== undefined) decision = { ...decision, state: "blocked", reason: describeUnreadable(unreadable) };
  if (preemptedBy === undefined) return decision;
  const warning = `The runtime takes ${preemptedBy} before ${chosen.name}, which is configured by name: pods are captured only if it delegates to that file`;
  return { ...decision, warnings: [...decision.warnings, warning] };
}

/** A reason not to touch the chosen file yet: one before it may still be in the making. */
function findUnsettled(choice: ConfChoice, desired: DesiredInstall): InstallDecision | undefined {
  const unsettled = choice.skipped.filter(({ unchangedMs }) => unchangedMs < desired.settleMs);
  const [first] = unsettled;
  if (choice.chosen === undefined || first === undefined) return undefined;
  const recheckMs = Math.max(...unsettled.map(({ unchangedMs }) => desired.settleMs - unchangedMs));
  return {
    ...outcome("waiting", `${first.name} comes first and may still be in the making: ${first.reason}`, []),
    recheckMs,
  };
}

function describeUnreadable({ name, reason }: SkippedConf): string {
  return `the runtime may use ${name}, but ${reason}`;
}

function decideChained(
  folder: Folder,
  chosen: NonNullable<ConfChoice["chosen"]>,
  desired: DesiredInstall,
  ownFile: Uint8Array | undefined,
): InstallDecision {
  const { name, conf } = chosen;
  const target =
    conf.kind === "list"
      ? { confName: name, steps: rewrite(name, conf, desired) }
      : convert(folder, name, conf, desired);
  if (target === undefined) {
    return outcome("blocked", `${name} has to become ${listName(name)}, but a file of that name is there already`, []);
  }
  const others = listsWithUs(folder, [target.confName, desired.ownedName]).flatMap((other) =>
    rewrite(other.name, other.conf, desired),
  );
  const retired: InstallStep[] =
    ownFile === undefined ? [] : [{ kind: "remove-conf", name: desired.ownedName, expected: ownFile }];
  return installed(target.confName, [...target.steps, ...others, ...retired]);
}

function decideOwned(
  folder: Folder,
  chosen: NonNullable<ConfChoice["chosen"]>,
  desired: DesiredInstall,
  ownFile: Uint8Array | undefined,
): InstallDecision {
  const { name, conf } = chosen;
  if (compareNames(name, desired.ownedName) < 0) {
    const warning = `The runtime takes ${name} before our own ${desired.ownedName}: the plugin is chained into ${name} itself; give our file a name that comes first`;
    return { ...decideChained(folder, chosen, desired, ownFile), warnings: [warning] };
  }
  const bytes = conf.kind === "list" ? withOurEntry(conf, desired.entry) : toConflist(conf, desired.entry);
  return installed(desired.ownedName, [
    ...writeOwn(folder, desired.ownedName, bytes),
    ...strip(folder, desired.ownedName),
  ]);
}

function decideStandalone(folder: Folder, desired: DesiredInstall): InstallDecision {
  const name = desired.confName ?? DEFAULT_STANDALONE_NAME;
  const file = folder.files.find((candidate) => candidate.name === name);
  const conf = file === undefined || !("bytes" in file.content) ? undefined : parseConf(name, file.content.bytes);
  // The default name is nobody else's.
  if (name !== DEFAULT_STANDALONE_NAME && conf !== undefined && conf.kind !== "invalid" && hasForeignPlugin(conf)) {
    const reason = `${name} is another network's configuration, which is not overwritten: a plugin that is not chained needs a file of its own (CNI_CONF_NAME)`;
    return outcome("blocked", reason, []);
  }
  return installed(name, [...writeOwn(folder, name, renderStandaloneConf(desired.entry)), ...strip(folder, name)]);
}

/** The file of the standalone mode, left from an earlier configuration; only if nothing but our plugin is in it. */
function retireStandalone(folder: Folder): InstallStep[] {
  return folder.files.flatMap((file): InstallStep[] => {
    const expected = file.name === DEFAULT_STANDALONE_NAME ? bytesOf(file) : undefined;
    const conf = expected === undefined ? undefined : parseConf(file.name, expected);
    if (expected === undefined || conf?.kind !== "single" || hasForeignPlugin(conf)) return [];
    return [{ kind: "remove-conf", name: file.name, expected }];
  });
}

function rewrite(name: string, conf: Conflist, desired: DesiredInstall): InstallStep[] {
  return replace(name, conf.bytes, withOurEntry(conf, desired.entry));
}

function replace(name: string, old: Uint8Array, bytes: Uint8Array): InstallStep[] {
  return isSameBytes(old, bytes) ? [] : [{ kind: "write-conf", name, bytes, expected: old, like: undefined }];
}

/**
 * X.conf becomes X.conflist (contract 3.3): a copy to go back to, then the list, then the old file goes. X.conf sorts
 * first, so until it is gone the runtime keeps using it. Undefined when X.conflist is there and not made by us.
 */
function convert(
  folder: Folder,
  name: string,
  conf: SingleConf,
  desired: DesiredInstall,
): { confName: string; steps: InstallStep[] } | undefined {
  const { bytes } = conf;
  const confName = listName(name);
  const backupName = `${name}${BACKUP_SUFFIX}`;
  const backup = folder.backups.get(backupName);
  const existing = folder.files.find((file) => file.name === confName);
  const existingBytes = existing === undefined ? undefined : bytesOf(existing);
  const list = toConflist(conf, desired.entry);
  // Ours is a list that is made of this configuration, or of the one that was there before its owner wrote it anew.
  const isOurs = existingBytes !== undefined && isListOf(confName, existingBytes, [bytes, ...(backup ? [backup] : [])]);
  if (existing !== undefined && !isOurs) return undefined;
  const steps: InstallStep[] = [];
  const given = { name, bytes };
  let before = existingBytes;
  // With the copy made anew nobody could tell any more that the list of what was there before is ours.
  if (before !== undefined && !isListOf(confName, before, [bytes])) {
    steps.push({ kind: "remove-conf", name: confName, expected: before, given });
    before = undefined;
  }
  if (backup === undefined || !isSameBytes(backup, bytes)) {
    steps.push({ kind: "write-conf", name: backupName, bytes, expected: backup, like: name });
  }
  if (before === undefined || !isSameBytes(before, list)) {
    steps.push({ kind: "write-conf", name: confName, bytes: list, expected: before, given, like: name });
  }
  steps.push({ kind: "remove-conf", name, expected: bytes, given: { name: confName, bytes: list } });
  return { confName, steps };
}

function listName(name: string): string {
  return `${name.slice(0, name.length - extensionOf(name).length)}.conflist`;
}

function writeOwn(folder: Folder, name: string, bytes: Uint8Array): InstallStep[] {
  const file = folder.files.find((candidate) => candidate.name === name);
  const old = file === undefined ? undefined : bytesOf(file);
  if (old !== undefined) return replace(name, old, bytes);
  return [{ kind: "write-conf", name, bytes, expected: undefined, like: undefined }];
}

/** Takes us out of every foreign list but one. */
function strip(folder: Folder, except: string): InstallStep[] {
  return listsWithUs(folder, [except]).flatMap(({ name, conf }) => replace(name, conf.bytes, withoutOurEntry(conf)));
}

/** Foreign lists that have our object. */
function listsWithUs(folder: Folder, except: readonly string[]): ListFile[] {
  return folder.files.flatMap((file) => {
    const bytes = bytesOf(file);
    if (bytes === undefined || except.includes(file.name)) return [];
    const conf = parseConf(file.name, bytes);
    return conf.kind === "list" && hasOurEntry(conf) && hasForeignPlugin(conf) ? [{ name: file.name, conf }] : [];
  });
}

/** The file of the owned mode, perhaps left from an earlier configuration; only if it is one of ours. */
export function ownedFile(
  folder: Folder,
  desired: Pick<DesiredInstall, "ownedName" | "confName">,
): ListFile | undefined {
  return listsWithUs(folder, []).find(({ name }) => name === desired.ownedName && name !== desired.confName);
}

function isListOf(name: string, bytes: Uint8Array, originals: readonly Uint8Array[]): boolean {
  const conf = parseConf(name, bytes);
  return conf.kind === "list" && originals.some((original) => isMadeOf(conf, original));
}

function bytesOf(file: ConfFile): Uint8Array | undefined {
  return "bytes" in file.content ? file.content.bytes : undefined;
}

function describeNothing(folder: Folder, choice: ConfChoice, desired: DesiredInstall): string {
  const what =
    desired.confName === undefined
      ? `no valid CNI configuration is in ${folder.path} yet`
      : `${desired.confName} is not in ${folder.path} yet or not valid`;
  const skipped = choice.skipped.slice(0, 3).map(({ name, reason }) => `${name}: ${reason}`);
  if (desired.mode === "owned" && folder.files.some(({ name }) => name === desired.ownedName)) {
    skipped.push(`${desired.ownedName}: it has the name of our own copy, ISTIO_OWNED_CNI_CONFIG_FILENAME`);
  }
  return skipped.length === 0 ? what : `${what} (${skipped.join("; ")})`;
}

function installed(confName: string, steps: readonly InstallStep[]): InstallDecision {
  return { ...outcome("installed", `${confName} runs our plugin`, steps), confName };
}

function outcome(state: InstallDecision["state"], reason: string, steps: readonly InstallStep[]): InstallDecision {
  return { state, reason, steps, confName: undefined, warnings: [], recheckMs: undefined };
}
