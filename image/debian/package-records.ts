// What tells a scanner, and in a dev image dpkg, which packages an image has and which files are theirs.
import type { TarEntry } from "../archive/read-tar.ts";
import { hashOf } from "../inputs/cache.ts";
import type { TreeEntry } from "../tree/file-tree.ts";
import { renderStanza } from "./control.ts";
import type { DebianPackage } from "./read-package.ts";

/** A file of records: path from the root, content, mode. */
export interface RecordFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  readonly mode?: number;
}

/** For images without dpkg, the form that distroless images established and scanners read: one stanza a package in
 * /var/lib/dpkg/status.d, and beside it the sums of those files that really are there. */
export function renderStatusFolder(pkg: DebianPackage, files: readonly TreeEntry[]): RecordFile[] {
  const path = `var/lib/dpkg/status.d/${pkg.locked.name}`;
  const sums = files.flatMap((entry) =>
    entry.kind === "file" ? [`${hashOf(entry.content, "md5")}  ${entry.path}\n`] : [],
  );
  return [
    { path, content: renderStanza(pkg.control) },
    { path: `${path}.md5sums`, content: sums.join("") },
  ];
}

/** dpkg's own database for packages that were unpacked, as if each had been configured: the status of all, and what is
 * said of each alone for those that are `added`. */
export function renderDpkgDatabase(packages: readonly DebianPackage[], added: readonly DebianPackage[]): RecordFile[] {
  const status = packages.map(({ control, controlFiles, files }) => {
    const [[, name = ""] = [], ...rest] = [...control];
    const conffiles = readText(controlFiles.get("conffiles"))
      .split("\n")
      .filter((line) => line.startsWith("/"))
      .flatMap((path) => {
        const file = files.find((entry) => `/${entry.path}` === path);
        return file === undefined ? [] : [` ${path} ${hashOf(file.content, "md5")}`];
      });
    const stanza = new Map([["Package", name], ["Status", "install ok installed"], ...rest]);
    if (conffiles.length > 0) stanza.set("Conffiles", `\n${conffiles.join("\n")}`);
    return renderStanza(stanza);
  });
  return [
    { path: "var/lib/dpkg/status", content: status.join("\n") },
    { path: "var/lib/dpkg/available", content: "" },
    // Names of info files carry the architecture where a package is Multi-Arch: same.
    { path: "var/lib/dpkg/info/format", content: "1\n" },
    ...added.flatMap(renderInfo),
  ];
}

function renderInfo({ control, controlFiles, files, locked }: DebianPackage): RecordFile[] {
  const name = control.get("Multi-Arch") === "same" ? `${locked.name}:${locked.architecture}` : locked.name;
  const prefix = `var/lib/dpkg/info/${name}`;
  const list = files.map(({ path }) => (path === "" ? "/.\n" : `/${path}\n`)).join("");
  return [
    { path: `${prefix}.list`, content: list },
    ...[...controlFiles].map(([file, { content, mode }]) => ({
      path: `${prefix}.${file}`,
      content,
      mode: mode & 0o755,
    })),
  ];
}

function readText(entry: TarEntry | undefined): string {
  return entry === undefined ? "" : new TextDecoder().decode(entry.content);
}
