// Writes tar archives (POSIX ustar) from memory: enough for an image that the testbed makes itself.

/** One regular file of an archive. `mode` is 0644 unless told. */
export interface TarFile {
  readonly path: string;
  readonly content: Uint8Array;
  readonly mode?: number;
}

const BLOCK = 512;

/** Renders an archive with root as owner and time 0, so that equal files give equal bytes.
 * @throws {RangeError} for a path of more than 100 bytes, which ustar's plain name field cannot hold. */
export function renderTar(files: readonly TarFile[]): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const file of files) {
    blocks.push(renderHeader(file), file.content, new Uint8Array((BLOCK - (file.content.length % BLOCK)) % BLOCK));
  }
  blocks.push(new Uint8Array(2 * BLOCK));
  return Buffer.concat(blocks);
}

// Field offsets: POSIX.1-2017 pax, "ustar Interchange Format".
function renderHeader(file: TarFile): Uint8Array {
  const header = Buffer.alloc(BLOCK);
  if (Buffer.byteLength(file.path) > 100)
    throw new RangeError(`Cannot archive ${file.path}: at most 100 bytes of path`);
  header.write(file.path, 0, 100);
  header.write(octal(file.mode ?? 0o644, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(file.content.length, 12), 124);
  header.write(octal(0, 12), 136);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\0", 257);
  header.write("00", 263);
  header.write("root", 265);
  header.write("root", 297);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 7)} `, 148);
  return header;
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, "0")}\0`;
}
