// What comes from npm for an image, for both architectures: Node and koffi's binary, as package-lock.json pins them.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createWorkFolder, inputPath, keepInput } from "./cache.ts";
import type { Architecture } from "./lock.ts";

export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** SHA-512 in hexadecimal. */
  readonly sha512: string;
}

const NPM_ARCHITECTURES = { amd64: "x64", arm64: "arm64" } as const;
const REPOSITORY = join(import.meta.dirname, "../..");

export interface NpmInputs {
  readonly node: NpmPackage;
  readonly koffi: NpmPackage;
  /** Path of koffi's binary inside its package. */
  readonly koffiBinary: string;
}

/** What package-lock.json pins for an architecture. @throws {Error} for an entry that is missing or has another hash than SHA-512. */
export function npmInputs(architecture: Architecture): NpmInputs {
  const npm = NPM_ARCHITECTURES[architecture];
  return {
    node: pinned(`node-linux-${npm}`),
    koffi: pinned(`@koromix/koffi-linux-${npm}`),
    koffiBinary: `package/linux_${npm}/koffi.node`,
  };
}

/** Fetches what is not there yet with npm itself. @throws {Error} with what npm said. */
export function fetchNpmPackages(packages: readonly NpmPackage[]): void {
  for (const { name, version, sha512 } of packages) {
    if (existsSync(inputPath(sha512))) continue;
    console.log(`images: fetching ${name} ${version} from npm`);
    using work = createWorkFolder();
    const done = spawnSync(
      "npm",
      ["pack", "--silent", "--ignore-scripts", "--pack-destination", work.path, `${name}@${version}`],
      {
        encoding: "utf8",
        cwd: work.path,
        timeout: 600_000,
      },
    );
    const [file] = readdirSync(work.path);
    if (done.status !== 0 || file === undefined)
      throw new Error(`Cannot fetch ${name} ${version}: npm pack ended with ${done.status}\n${done.stderr}`);
    keepInput(join(work.path, file), "sha512", sha512, `${name} ${version}`);
  }
}

function pinned(name: string): NpmPackage {
  const lock: unknown = JSON.parse(readFileSync(join(REPOSITORY, "package-lock.json"), "utf8"));
  const entry = field(field(lock, "packages"), `node_modules/${name}`);
  const version = field(entry, "version");
  const integrity = field(entry, "integrity");
  if (typeof version !== "string" || typeof integrity !== "string" || !integrity.startsWith("sha512-"))
    throw new Error(`Cannot pin ${name}: package-lock.json has no version and SHA-512 of it`);
  return { name, version, sha512: Buffer.from(integrity.slice("sha512-".length), "base64").toString("hex") };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
