/**
 * The kept inputs: testbed/fuzz/corpus/<target>/<name>, text as it is, anything else as hexadecimal in `.hex`. Named by what they
 * are where a person put them there, by a hash where the fuzzer did.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const CORPUS = join(import.meta.dirname, "corpus");

export interface CorpusEntry {
  readonly path: string;
  readonly input: Uint8Array;
}

/** In the order of their names. */
export function readCorpus(target: string, folder = CORPUS): CorpusEntry[] {
  const own = join(folder, target);
  if (!existsSync(own)) return [];
  return readdirSync(own)
    .sort()
    .map((name) => ({ path: join(own, name), input: readInput(join(own, name)) }));
}

/** An input from its file. */
export function readInput(path: string): Uint8Array {
  const bytes = new Uint8Array(readFileSync(path));
  return path.endsWith(".hex") ? Uint8Array.fromHex(new TextDecoder().decode(bytes).replace(/\s+/g, "")) : bytes;
}

/** Writes an input into the target's folder, under a name made of its content; gives the path. */
export function keepInput(target: string, input: Uint8Array, folder = CORPUS): string {
  const name = createHash("sha256").update(input).digest("hex").slice(0, 12);
  const own = join(folder, target);
  mkdirSync(own, { recursive: true });
  const path = join(own, isPlainText(input) ? `${name}.txt` : `${name}.hex`);
  writeFileSync(path, path.endsWith(".hex") ? hexOf(input) : input);
  return path;
}

/** What git, editors and reviewers show as it is. */
function isPlainText(input: Uint8Array): boolean {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(input);
    return !/[^\P{C}\n\t]|\r/u.test(text);
  } catch {
    return false;
  }
}

function hexOf(input: Uint8Array): string {
  return `${input.toHex().replace(/(.{64})(?=.)/g, "$1\n")}\n`;
}
