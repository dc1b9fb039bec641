// A binary package as a list of a mirror offers it.
import type { ArchiveFile } from "../inputs/fetch-packages.ts";
import type { Stanza } from "./control.ts";

export interface OfferedPackage extends ArchiveFile {
  readonly source: string;
  readonly sourceVersion: string;
}

/** From a stanza of a list of packages. @throws {Error} that names the package and the missing field. */
export function offeredPackage(stanza: Stanza): OfferedPackage {
  const field = (name: string): string => {
    const value = stanza.get(name);
    if (value === undefined) throw new Error(`Cannot use package ${stanza.get("Package")}: it has no ${name}`);
    return value;
  };
  const pool = field("Filename");
  const [, source, sourceVersion] = /^(\S+)(?: \((.*)\))?$/.exec(stanza.get("Source") ?? field("Package")) ?? [];
  return {
    name: field("Package"),
    version: field("Version"),
    source: source ?? field("Package"),
    sourceVersion: sourceVersion ?? field("Version"),
    archive: pool.startsWith("pool/updates/") ? "debian-security" : "debian",
    pool,
    size: Number(field("Size")),
    sha256: field("SHA256"),
  };
}
