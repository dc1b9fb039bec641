/**
 * Reads what a person gives a command: a file by its name, whatever that leads to (a symlink, a pipe of the shell's), or
 * standard input. Bounded in size; how long it takes is the person's business.
 */
import { createReadStream } from "node:fs";
import { FileError } from "../../core/file-error.ts";
import { toFileError } from "../fs/file-error.ts";

const STANDARD_INPUT = "standard input";

/** The text; bytes that are no UTF-8 become U+FFFD.
 * @param path undefined: standard input. @throws {FileError} */
export async function readInput(path: string | undefined, maxBytes: number): Promise<string> {
  const name = path ?? STANDARD_INPUT;
  const stream = path === undefined ? process.stdin : createReadStream(path);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > maxBytes) throw new FileError("too-large", "read", name, `it is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw toFileError(error, "read", name);
  }
  return Buffer.concat(chunks).toString("utf8");
}
