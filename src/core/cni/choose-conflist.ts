/**
 * Which file of the CNI folder the runtime uses, and therefore which one we chain into: the first by name, always
 * looked up anew, never remembered (contract 10.2 D4). What is then done to it is decide-install.ts.
 */
import { type Conflist, extensionOf, isConfFileName, parseConf, type SingleConf } from "./conflist.ts";
import { hasForeignPlugin } from "./edit-conflist.ts";

/** A file of the folder as it was found. */
export type ConfFile = {
  readonly name: string;
  /**
   * Its content. Or why we could not read it, where a runtime may well be able to. Or why nobody can, as with a symlink to
   * nothing: CRI-O passes it by (ocicni loadNetworks), containerd takes it for an invalid file (go-cni loadFromConfDir).
   */
  readonly content: { readonly bytes: Uint8Array } | { readonly unreadable: string } | { readonly unusable: string };
  /** How long the file has been as it is now, since we first looked at it. */
  readonly unchangedMs: number;
};

/** A file that was passed over on the way to the chosen one. */
export type SkippedConf = {
  readonly name: string;
  readonly reason: string;
  /** Runtimes refuse it too ("invalid"), or only we cannot read it ("unreadable"). */
  readonly kind: "invalid" | "unreadable";
  readonly unchangedMs: number;
};

export type ConfChoice = {
  readonly chosen: { readonly name: string; readonly conf: Conflist | SingleConf } | undefined;
  /** Files that would have come before the chosen one; all of them where there is none. */
  readonly skipped: readonly SkippedConf[];
  /** A file the runtime takes before the one that was asked for by name. */
  readonly preemptedBy: string | undefined;
};

/**
 * Chooses the primary conflist. Without `confName`: the first valid file in byte order of the names, of the extensions
 * that containerd and CRI-O load. With it: that file, or the one that differs by `.conf` and `.conflist` only
 * (contract 3.2). `ignore` names files that are ours entirely; files that hold no plugin but ours are passed by too.
 */
export function chooseConflist(
  files: readonly ConfFile[],
  options: { readonly confName?: string | undefined; readonly ignore?: readonly string[] },
): ConfChoice {
  const sorted = files
    .filter(({ name }) => isConfFileName(name) && !(options.ignore ?? []).includes(name))
    .toSorted((left, right) => compareNames(left.name, right.name));
  const first = firstUsable(sorted);
  if (options.confName === undefined) return { ...first, preemptedBy: undefined };
  const names = alternativeNames(options.confName);
  const named = names.flatMap((name) => sorted.filter((file) => file.name === name));
  const choice = firstUsable(named.slice(0, 1));
  const preemptedBy = choice.chosen?.name === first.chosen?.name ? undefined : first.chosen?.name;
  return { ...choice, preemptedBy: choice.chosen === undefined ? undefined : preemptedBy };
}

/** Byte order of UTF-8, in which Go sorts strings. */
export function compareNames(left: string, right: string): number {
  const encoder = new TextEncoder();
  const leftBytes = encoder.encode(left);
  const rightBytes = encoder.encode(right);
  const differs = leftBytes.findIndex((byte, index) => byte !== rightBytes[index]);
  if (differs < 0) return leftBytes.length - rightBytes.length;
  return (leftBytes[differs] ?? 0) - (rightBytes[differs] ?? -1);
}

function firstUsable(files: readonly ConfFile[]): Pick<ConfChoice, "chosen" | "skipped"> {
  const skipped: SkippedConf[] = [];
  for (const { name, content, unchangedMs } of files) {
    if ("unreadable" in content) {
      skipped.push({ name, reason: content.unreadable, kind: "unreadable", unchangedMs });
      continue;
    }
    if ("unusable" in content) {
      skipped.push({ name, reason: content.unusable, kind: "invalid", unchangedMs });
      continue;
    }
    const conf = parseConf(name, content.bytes);
    if (conf.kind === "invalid") skipped.push({ name, reason: conf.reason, kind: "invalid", unchangedMs });
    else if (hasForeignPlugin(conf)) return { chosen: { name, conf }, skipped };
  }
  return { chosen: undefined, skipped };
}

function alternativeNames(name: string): readonly string[] {
  const extension = extensionOf(name);
  const stem = name.slice(0, name.length - extension.length);
  if (extension === ".conf") return [name, `${stem}.conflist`];
  if (extension === ".conflist") return [name, `${stem}.conf`];
  return extension === ".json" ? [name, `${stem}.conflist`] : [name];
}
