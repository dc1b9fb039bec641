// Everything an image is made of, fetched, checked and made into layers; each layer once, whatever images share it.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { readTar, type TarEntry } from "./archive/read-tar.ts";
import { type DebianPackage, readPackage } from "./debian/read-package.ts";
import { readIdentity } from "./identity.ts";
import { readInput } from "./inputs/cache.ts";
import { fetchPackages } from "./inputs/fetch-packages.ts";
import {
  type Architecture,
  type Lock,
  type LockedPackage,
  type PackageSet,
  packagesOf,
  readLock,
} from "./inputs/lock.ts";
import { fetchNpmPackages, type NpmPackage, npmInputs } from "./inputs/npm-packages.ts";
import { buildAgent } from "./layers/agent.ts";
import { buildDebianDev } from "./layers/debian-dev.ts";
import { buildDebianRuntime } from "./layers/debian-runtime.ts";
import { buildFips, OPENSSL_CONFIG } from "./layers/fips.ts";
import { buildKoffi, buildNode } from "./layers/node.ts";
import { buildLayer, type Layer } from "./oci/layer.ts";
import type { FileTree } from "./tree/file-tree.ts";
import type { BuildIdentity } from "./variants.ts";

export interface Inputs {
  readonly lock: Lock;
  readonly identity: BuildIdentity;
  debianLayer(architecture: Architecture, isDev: boolean): Promise<Layer>;
  fipsLayer(architecture: Architecture, isDev: boolean): Promise<Layer>;
  nodeLayer(architecture: Architecture): Promise<Layer>;
  koffiLayer(architecture: Architecture): Promise<Layer>;
  agentLayer(architecture: Architecture, isFips: boolean): Promise<Layer>;
}

const REPOSITORY = resolve(import.meta.dirname, "..");

/** @throws {Error} when the lock is bad; layers throw when an input cannot be had or is not the locked one. */
export function createInputs(options: { readonly layerCache: boolean }): Inputs {
  const lock = readLock();
  const made = new Map<string, Promise<Layer>>();
  const packages = new Map<LockedPackage, DebianPackage>();

  const once = (name: string, key: string, build: () => FileTree): Promise<Layer> => {
    const id = `${name}/${key}`;
    const layer = made.get(id) ?? buildLayer(name, build(), options.layerCache);
    made.set(id, layer);
    return layer;
  };
  const read = (set: PackageSet, architecture: Architecture): DebianPackage[] => {
    const locked = packagesOf(lock, set, architecture);
    fetchPackages(locked);
    return locked.map((each) => {
      const pkg = packages.get(each) ?? readPackage(each);
      packages.set(each, pkg);
      return pkg;
    });
  };

  return {
    lock,
    identity: readIdentity(REPOSITORY, lock.date),
    debianLayer: (architecture, isDev) =>
      isDev
        ? once("debian-dev", architecture, () => buildDebianDev(read("dev", architecture)))
        : once("debian", architecture, () => buildDebianRuntime(read("runtime", architecture), architecture)),
    fipsLayer: (architecture, isDev) =>
      once("openssl-fips", `${architecture}/${isDev}`, () =>
        buildFips(read("fips", architecture), architecture, isDev ? read("dev", architecture) : undefined),
      ),
    nodeLayer: (architecture) =>
      once("node", architecture, () => {
        const { node } = npmInputs(architecture);
        return buildNode(node.name, readNpmPackage(node));
      }),
    koffiLayer: (architecture) =>
      once("koffi", architecture, () => {
        const { koffi, koffiBinary } = npmInputs(architecture);
        const licence = readFileSync(join(REPOSITORY, "node_modules/koffi/LICENSE.txt"));
        return buildKoffi(koffi.name, readNpmPackage(koffi), koffiBinary, licence);
      }),
    agentLayer: (architecture, isFips) =>
      once("agent", `${architecture}/${isFips}`, () =>
        buildAgent({
          launcher: isFips ? compileFipsLauncher(architecture) : readBuilt(`out/launcher/${architecture}/install-cni`),
          plugin: readBuilt(`out/plugin/${architecture}/istio-cni`),
          modules: readBuiltModules("out/lib/istio-install-cni"),
          licence: readFileSync(join(REPOSITORY, "LICENSE")),
          muslLicence: readMuslLicence(),
        }),
      ),
  };
}

function readBuilt(path: string): Uint8Array {
  try {
    return readFileSync(join(REPOSITORY, path));
  } catch (cause) {
    throw new Error(`Cannot build images: ${path} is not there; run make build`, { cause });
  }
}

/** The agent's, sorted by name; tools/bundle.ts leaves none there that is not of this build. */
function readBuiltModules(folder: string): ReadonlyMap<string, Uint8Array> {
  readBuilt(`${folder}/agent.mjs`);
  const names = readdirSync(join(REPOSITORY, folder)).filter((name) => name.endsWith(".mjs"));
  return new Map(names.toSorted().map((name) => [name, readBuilt(`${folder}/${name}`)]));
}

function readNpmPackage(pkg: NpmPackage): readonly TarEntry[] {
  fetchNpmPackages([pkg]);
  return readTar(gunzipSync(readInput("sha512", pkg.sha512, `${pkg.name} ${pkg.version}`), { chunkSize: 1 << 24 }));
}

/** The launcher with FIPS mode compiled in. */
function compileFipsLauncher(architecture: Architecture): Uint8Array {
  const output = join(REPOSITORY, "out/launcher-fips", architecture, "install-cni");
  mkdirSync(join(output, ".."), { recursive: true });
  const define = `-DOPENSSL_CONFIG=${JSON.stringify(OPENSSL_CONFIG)}`;
  const done = spawnSync("tools/zig-static", [architecture, output, define, "launcher/install-cni.c"], {
    cwd: REPOSITORY,
    encoding: "utf8",
    timeout: 300_000,
  });
  if (done.status !== 0) throw new Error(`Cannot compile the launcher of the FIPS image: ${done.stderr}`);
  return readFileSync(output);
}

function readMuslLicence(): Uint8Array {
  const env = execFileSync(join(REPOSITORY, "tools/zig"), ["env"], { encoding: "utf8", timeout: 60_000 });
  const folder = /\blib_dir["\s=:]+"([^"]+)"/.exec(env)?.[1];
  if (folder === undefined) throw new Error("Cannot find musl's licence: tools/zig env names no lib_dir");
  return readFileSync(resolve(REPOSITORY, folder, "libc/musl/COPYRIGHT"));
}
