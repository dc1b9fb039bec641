/**
 * What is to be done on a host so that nothing of us is left: every file gets its own bytes back, the plugin goes last.
 * Whether removal is wanted is not decided here: only a proven wish leads here (DESIGN 3.3).
 */
import type { ConfFile } from "./choose-conflist.ts";
import { extensionOf, parseConf } from "./conflist.ts";
import { hasForeignPlugin, hasOurEntry, isMadeOf, withoutOurEntry } from "./edit-conflist.ts";
import { BACKUP_SUFFIX, type HostView, type InstallStep } from "./host-view.ts";
import { PLUGIN_TYPE } from "./plugin-entry.ts";

/**
 * Steps that undo decideInstall, in an order in which no file ever names a missing plugin. Lists lose our object and
 * nothing else; a list that was made of a single configuration becomes that file again, unless somebody has changed the
 * list since or its owner is writing the file again; files that hold only our object are deleted, and so is `ownedName`
 * where our object is in it.
 * Files that are no valid configuration are left alone. No step at all while the CNI folder cannot be read.
 */
export function decideRemoval(view: HostView, options: { readonly ownedName: string }): InstallStep[] {
  if ("unavailable" in view.netDir) return [];
  const { files, backups } = view.netDir;
  const steps: InstallStep[] = [];
  for (const { name, content } of files) {
    if (!("bytes" in content)) continue;
    const original = [...backups].find(([backupName]) => listNameOf(backupName) === name);
    steps.push(...removeFrom(name, content.bytes, options.ownedName, original, files));
  }
  for (const [name, expected] of backups) steps.push({ kind: "remove-conf", name, expected });
  return [...steps, ...decidePluginRemoval(view)];
}

function decidePluginRemoval(view: HostView): InstallStep[] {
  return view.binDirs.flatMap((dir): InstallStep[] =>
    "plugin" in dir && dir.plugin !== "absent" ? [{ kind: "remove-plugin", dir: dir.path }] : [],
  );
}

/**
 * Files that may name the plugin although nothing can be taken out of them: one we cannot read, or one that is no valid
 * configuration at the moment and has our name in it. As long as there is one, the plugin has to stay.
 */
export function findUnclearNames(view: HostView): readonly string[] {
  if ("unavailable" in view.netDir) return [];
  const decoder = new TextDecoder();
  return view.netDir.files
    .filter(({ name, content }) => {
      if ("unreadable" in content) return true;
      if ("unusable" in content || parseConf(name, content.bytes).kind !== "invalid") return false;
      return decoder.decode(content.bytes).includes(PLUGIN_TYPE);
    })
    .map(({ name }) => name);
}

function removeFrom(
  name: string,
  bytes: Uint8Array,
  ownedName: string,
  original: readonly [string, Uint8Array] | undefined,
  files: readonly ConfFile[],
): InstallStep[] {
  const conf = parseConf(name, bytes);
  if (conf.kind === "invalid" || !hasOurEntry(conf)) return [];
  const removal: InstallStep = { kind: "remove-conf", name, expected: bytes };
  if (conf.kind === "single" || name === ownedName || !hasForeignPlugin(conf)) return [removal];
  const stripped = withoutOurEntry(conf);
  const keepStripped: InstallStep = { kind: "write-conf", name, bytes: stripped, expected: bytes, like: undefined };
  if (original === undefined || !isMadeOf(conf, original[1])) return [keepStripped];
  const [backupName, originalBytes] = original;
  const originalName = originalNameOf(backupName);
  const there = files.find((file) => file.name === originalName);
  if (there !== undefined) {
    const given = usableBytes(there);
    return given === undefined ? [keepStripped] : [{ ...removal, given: { name: originalName, bytes: given } }];
  }
  const restore: InstallStep = {
    kind: "write-conf",
    name: originalName,
    bytes: originalBytes,
    expected: undefined,
    given: { name, bytes },
    like: backupName,
  };
  return [restore, { ...removal, given: { name: originalName, bytes: originalBytes } }];
}

function usableBytes({ name, content }: ConfFile): Uint8Array | undefined {
  return "bytes" in content && parseConf(name, content.bytes).kind !== "invalid" ? content.bytes : undefined;
}

function originalNameOf(backupName: string): string {
  return backupName.slice(0, backupName.length - BACKUP_SUFFIX.length);
}

function listNameOf(backupName: string): string {
  const original = originalNameOf(backupName);
  return `${original.slice(0, original.length - extensionOf(original).length)}.conflist`;
}
