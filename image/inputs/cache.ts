// Where inputs are kept: outside the checkout, under their hash, so that what is found there is what was locked.
import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** The folder of a kind of input: below IMAGE_CACHE, or XDG_CACHE_HOME, or ~/.cache. It exists afterwards. */
export function cacheFolder(kind: "inputs" | "apt" | "layers" | "tools"): string {
  const base =
    process.env["IMAGE_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "istio-install-cni");
  const folder = join(base, kind);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Path of an input with that SHA-256 or SHA-512, whether it is there or not. */
export function inputPath(hash: string): string {
  return join(cacheFolder("inputs"), hash);
}

/** A new folder beside the inputs, so that what is complete in it can be renamed into its place. */
export function createWorkFolder(): Disposable & { readonly path: string } {
  const path = join(cacheFolder("inputs"), `incoming-${randomUUID()}`);
  mkdirSync(path);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Takes a fetched file into the cache. @throws {Error} when its content is not what the lock says. */
export function keepInput(path: string, algorithm: "sha256" | "sha512", hash: string, name: string): void {
  if (!existsSync(path)) throw new Error(`Cannot fetch ${name}: nothing arrived`);
  const found = hashOf(readFileSync(path), algorithm);
  if (found !== hash) throw new Error(`Cannot use ${name}: its ${algorithm} is ${found}, the lock says ${hash}`);
  renameSync(path, inputPath(hash));
}

/** Content of a cached input, checked again. @throws {Error} when somebody has changed it. */
export function readInput(algorithm: "sha256" | "sha512", hash: string, name: string): Buffer {
  const content = readFileSync(inputPath(hash));
  const found = hashOf(content, algorithm);
  if (found !== hash) {
    rmSync(inputPath(hash), { force: true });
    throw new Error(
      `Cannot use ${name}: its ${algorithm} is ${found}, the lock says ${hash}; it is dropped, run again`,
    );
  }
  return content;
}

export function hashOf(content: Uint8Array, algorithm: "sha256" | "sha512" | "sha1" | "md5" = "sha256"): string {
  return createHash(algorithm).update(content).digest("hex");
}
