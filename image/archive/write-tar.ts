// Writes a tree as a tar archive, the same bytes for the same tree: POSIX ustar, with PAX records for what ustar cannot say
// (long names, file capabilities as `SCHILY.xattr.security.capability`, which containerd, docker and podman restore).
import type { FileTree, TreeEntry } from "../tree/file-tree.ts";

const BLOCK = 512;
const TYPES = { file: "0", symlink: "2", directory: "5" } as const;

/** The chunks of the archive, in order; their content is not copied. */
export function renderTreeTar(tree: FileTree): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (const entry of tree.values()) {
    const name = entry.kind === "directory" ? `${entry.path}/` : entry.path;
    const target = entry.kind === "symlink" ? entry.target : "";
    const records = paxRecords(entry, name, target);
    if (records.length > 0) {
      chunks.push(
        renderHeader({
          name: "pax",
          mode: 0o644,
          uid: 0,
          gid: 0,
          size: records.length,
          mtime: 0,
          type: "x",
          target: "",
        }),
      );
      chunks.push(records, padding(records.length));
    }
    const content = entry.kind === "file" ? entry.content : new Uint8Array();
    const { mode, uid, gid, mtimeSeconds: mtime } = entry;
    chunks.push(renderHeader({ name, mode, uid, gid, size: content.length, mtime, type: TYPES[entry.kind], target }));
    chunks.push(content, padding(content.length));
  }
  chunks.push(new Uint8Array(2 * BLOCK));
  return chunks;
}

/** struct vfs_cap_data, revision 2, of linux/capability.h: permitted, not inheritable, not effective. */
export function renderCapabilities(permitted: bigint): Uint8Array {
  const value = Buffer.alloc(20);
  value.writeUInt32LE(0x02000000, 0);
  value.writeUInt32LE(Number(permitted & 0xffffffffn), 4);
  value.writeUInt32LE(Number(permitted >> 32n), 12);
  return value;
}

function paxRecords(entry: TreeEntry, name: string, target: string): Uint8Array {
  const records: Uint8Array[] = [];
  if (Buffer.byteLength(name) > 100) records.push(paxRecord("path", Buffer.from(name)));
  if (Buffer.byteLength(target) > 100) records.push(paxRecord("linkpath", Buffer.from(target)));
  if (entry.kind === "file" && entry.capabilities !== undefined)
    records.push(paxRecord("SCHILY.xattr.security.capability", renderCapabilities(entry.capabilities)));
  return Buffer.concat(records);
}

/** "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
function paxRecord(key: string, value: Uint8Array): Uint8Array {
  const rest = Buffer.byteLength(key) + value.length + 3;
  let length = rest + 1;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from("\n")]);
}

interface Header {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly type: string;
  readonly target: string;
}

// Field offsets: POSIX.1-2017 pax, "ustar Interchange Format". Owners by number: names are the image's own affair.
function renderHeader({ name, mode, uid, gid, size, mtime, type, target }: Header): Uint8Array {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100);
  header.write(octal(mode, 8), 100);
  header.write(octal(uid, 8), 108);
  header.write(octal(gid, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(mtime, 12), 136);
  header.write("        ", 148);
  header.write(type, 156);
  header.write(target, 157, 100);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

function octal(value: number, width: number): string {
  const digits = value.toString(8);
  if (digits.length >= width) throw new RangeError(`Cannot write tar: ${value} does not fit into ${width} characters`);
  return `${digits.padStart(width - 1, "0")}\0`;
}

function padding(size: number): Uint8Array {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}
