// Reads tar archives as dpkg-deb and npm write them: ustar, GNU's long names, PAX paths. Nothing is unpacked to disk.

export interface TarEntry {
  /** Without `./` in front and `/` behind; the empty text for the root itself. */
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink" | "hardlink";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  readonly content: Uint8Array;
  /** Target of a link; of a hard link the path of an entry before it. */
  readonly target: string;
  /** Value of the extended attribute security.capability, where the archive has one. */
  readonly capabilities?: Uint8Array;
}

const BLOCK = 512;
const KINDS: Readonly<Record<string, TarEntry["kind"]>> = {
  "": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "5": "directory",
};

/** @throws {Error} for an archive that is cut, has a bad checksum, devices, or a path that leaves its root. */
export function readTar(archive: Uint8Array): TarEntry[] {
  const entries: TarEntry[] = [];
  let longName: string | undefined;
  let longTarget: string | undefined;
  let capabilities: Uint8Array | undefined;
  for (let offset = 0; offset + BLOCK <= archive.length; ) {
    const header = archive.subarray(offset, offset + BLOCK);
    if (header.every((byte) => byte === 0)) return entries;
    checkSum(header, offset);
    const size = number(header, 124, 12);
    const content = archive.subarray(offset + BLOCK, offset + BLOCK + size);
    if (content.length !== size) throw new Error(`Cannot read tar: it is cut at offset ${offset}`);
    offset += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    const type = text(header, 156, 1);
    if (type === "L") longName = text(content, 0, size);
    else if (type === "K") longTarget = text(content, 0, size);
    else if (type === "x" || type === "g") {
      const records = paxRecords(content);
      const asText = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value);
      longName = asText(records.get("path")) ?? longName;
      longTarget = asText(records.get("linkpath")) ?? longTarget;
      capabilities = records.get("SCHILY.xattr.security.capability");
    } else {
      const kind = KINDS[type];
      const prefix = text(header, 257, 5) === "ustar" && header[263] === 0x30 ? text(header, 345, 155) : "";
      const name = longName ?? (prefix === "" ? "" : `${prefix}/`) + text(header, 0, 100);
      if (kind === undefined) throw new Error(`Cannot read tar: ${name} is of type ${type}`);
      entries.push({
        path: normalPath(name),
        kind,
        mode: number(header, 100, 8) & 0o7777,
        uid: number(header, 108, 8),
        gid: number(header, 116, 8),
        mtimeSeconds: number(header, 136, 12),
        content: kind === "file" ? content : new Uint8Array(),
        target:
          kind === "hardlink"
            ? normalPath(longTarget ?? text(header, 157, 100))
            : (longTarget ?? text(header, 157, 100)),
        ...(capabilities === undefined ? {} : { capabilities }),
      });
      longName = undefined;
      longTarget = undefined;
      capabilities = undefined;
    }
  }
  throw new Error("Cannot read tar: it has no end");
}

function normalPath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new Error(`Cannot read tar: ${name} leaves the archive`);
  return parts.join("/");
}

function text(bytes: Uint8Array, start: number, length: number): string {
  const field = bytes.subarray(start, start + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end === -1 ? field : field.subarray(0, end));
}

function number(header: Uint8Array, start: number, length: number): number {
  const digits = text(header, start, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new Error(`Cannot read tar: ${JSON.stringify(digits)} is no octal number`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

function checkSum(header: Uint8Array, offset: number): void {
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (sum !== number(header, 148, 8)) throw new Error(`Cannot read tar: bad checksum at offset ${offset}`);
}

/** "LENGTH KEY=VALUE\n" each, LENGTH in bytes and of the whole record (POSIX.1-2017 pax). */
function paxRecords(content: Uint8Array): Map<string, Uint8Array> {
  const records = new Map<string, Uint8Array>();
  for (let offset = 0; offset < content.length; ) {
    const [, digits = "", key = ""] = /^(\d+) ([^=]+)=/.exec(text(content, offset, 300)) ?? [];
    const length = Number.parseInt(digits, 10);
    const start = offset + digits.length + key.length + 2;
    if (!(length > 0) || offset + length > content.length || content[offset + length - 1] !== 0x0a)
      throw new Error("Cannot read tar: bad PAX record");
    records.set(key, content.subarray(start, offset + length - 1));
    offset += length;
  }
  return records;
}
