// Takes from an ELF file what only a linker or debugger reads: symbol table and debug sections. The same bytes on every
// machine and for both architectures, which a binutils of the machine would not promise.
import { isElf, offsetAt, readElf } from "./read-elf.ts";

const HEADER = 64;
const SECTION = 64;
const SHT = { NULL: 0, PROGBITS: 1, NOBITS: 8 } as const;
const SHF_ALLOC = 2;
/** Sections outside of memory that stay: what the file says of its build. */
const KEPT = new Set([".comment", ".gnu_debuglink"]);

interface Section {
  readonly name: string;
  readonly header: Uint8Array;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
}

/** Returns the file with all that is loaded at the offsets where it was, then the kept rest and a new section table.
 * @throws {Error} for what is no 64-bit little-endian ELF file, or one without section table. */
export function stripElf(bytes: Uint8Array): Uint8Array {
  const elf = readElf(bytes);
  if (elf === undefined || !isElf(bytes)) throw new Error("Cannot strip: no 64-bit little-endian ELF file");
  const sections = readSections(bytes);
  if (sections.length === 0) throw new Error("Cannot strip: the file has no section table");
  const loadedEnd = Math.max(HEADER, ...elf.segments.map(({ offset, fileSize }) => offset + fileSize));
  const kept = sections
    .map((section, index) => ({ ...section, index }))
    .filter(({ type, flags, name }) => type === SHT.NULL || (flags & SHF_ALLOC) !== 0 || KEPT.has(name));
  const numbers = new Map(kept.map(({ index }, position) => [index, position]));

  const chunks: Uint8Array[] = [bytes.subarray(0, loadedEnd)];
  let end = loadedEnd;
  const append = (chunk: Uint8Array, alignment: number): number => {
    const start = Math.ceil(end / alignment) * alignment;
    chunks.push(new Uint8Array(start - end), chunk);
    end = start + chunk.length;
    return start;
  };

  const names = new TextEncoder().encode(`${kept.map(({ name }) => `${name}\0`).join("")}.shstrtab\0`);
  let nameOffset = 0;
  const table = new Uint8Array((kept.length + 1) * SECTION);
  const tableView = new DataView(table.buffer);
  for (const [position, section] of kept.entries()) {
    const at = position * SECTION;
    table.set(section.header, at);
    tableView.setUint32(at, section.type === SHT.NULL ? 0 : nameOffset, true);
    nameOffset += section.name.length + 1;
    const isLoaded = section.offset + (section.type === SHT.NOBITS ? 0 : section.size) <= loadedEnd;
    if (section.type !== SHT.NULL && section.type !== SHT.NOBITS && !isLoaded) {
      const start = append(bytes.subarray(section.offset, section.offset + section.size), 1);
      tableView.setBigUint64(at + 24, BigInt(start), true);
    }
    // sh_link and, where it is a section's number, sh_info.
    const link = tableView.getUint32(at + 40, true);
    tableView.setUint32(at + 40, numbers.get(link) ?? 0, true);
    const SHF_INFO_LINK = 0x40;
    if ((section.flags & SHF_INFO_LINK) !== 0)
      tableView.setUint32(at + 44, numbers.get(tableView.getUint32(at + 44, true)) ?? 0, true);
  }
  const last = kept.length * SECTION;
  tableView.setUint32(last, nameOffset, true);
  tableView.setUint32(last + 4, 3, true); // SHT_STRTAB
  tableView.setBigUint64(last + 24, BigInt(append(names, 1)), true);
  tableView.setBigUint64(last + 32, BigInt(names.length), true);
  tableView.setBigUint64(last + 48, 1n, true);
  const tableStart = append(table, 8);

  const stripped = Buffer.concat(chunks);
  const view = new DataView(stripped.buffer, stripped.byteOffset, stripped.byteLength);
  view.setBigUint64(40, BigInt(tableStart), true);
  view.setUint16(60, kept.length + 1, true);
  view.setUint16(62, kept.length, true);
  return stripped;
}

function readSections(bytes: Uint8Array): Section[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [start, count, namesIndex] = [offsetAt(view, 40), view.getUint16(60, true), view.getUint16(62, true)];
  if (start === 0) return [];
  const namesStart = offsetAt(view, start + namesIndex * SECTION + 24);
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * SECTION;
    const nameAt = namesStart + view.getUint32(at, true);
    return {
      name: new TextDecoder().decode(bytes.subarray(nameAt, bytes.indexOf(0, nameAt))),
      header: bytes.subarray(at, at + SECTION),
      type: view.getUint32(at + 4, true),
      flags: Number(view.getBigUint64(at + 8, true) & 0xffffffffn),
      offset: offsetAt(view, at + 24),
      size: offsetAt(view, at + 32),
    };
  });
}
