// Which symbols an ELF file takes from its libraries: the undefined ones of its dynamic symbol table.
import { isElf, offsetAt } from "./read-elf.ts";

const SECTION = 64;
const SYMBOL = 24;
const SHT_DYNSYM = 11;

const known = new WeakMap<Uint8Array, readonly string[]>();

/** Empty for what is no ELF file or has no dynamic symbols. Found by its section table, which stripping leaves. */
export function readDynamicImports(bytes: Uint8Array): readonly string[] {
  const imports = known.get(bytes) ?? read(bytes);
  known.set(bytes, imports);
  return imports;
}

function read(bytes: Uint8Array): readonly string[] {
  if (!isElf(bytes)) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [start, count] = [offsetAt(view, 40), view.getUint16(60, true)];
  const names: string[] = [];
  for (let index = 0; index < count; index++) {
    const at = start + index * SECTION;
    if (view.getUint32(at + 4, true) !== SHT_DYNSYM) continue;
    const [offset, size, link] = [offsetAt(view, at + 24), offsetAt(view, at + 32), view.getUint32(at + 40, true)];
    const strings = offsetAt(view, start + link * SECTION + 24);
    for (let symbol = offset + SYMBOL; symbol + SYMBOL <= offset + size; symbol += SYMBOL) {
      // st_shndx 0 is undefined: it comes from elsewhere.
      if (view.getUint16(symbol + 6, true) !== 0) continue;
      const name = strings + view.getUint32(symbol, true);
      names.push(new TextDecoder().decode(bytes.subarray(name, bytes.indexOf(0, name))));
    }
  }
  return names;
}
