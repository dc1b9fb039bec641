// apt with a state of its own: signatures and expiry of the release files are checked by apt, and nothing of the machine's
// own packages is touched or looked at. Needs no root.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "../inputs/cache.ts";
import type { Architecture, ArchiveName } from "../inputs/lock.ts";
import { mirrorOf } from "../inputs/mirrors.ts";
import { parseStanzas, type Stanza } from "./control.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

export interface AptSource {
  readonly archive: ArchiveName;
  readonly suites: readonly string[];
}

export interface Apt {
  /** Fetches the lists. @throws {Error} when any of them cannot be had: an old list would give an old answer. */
  update(): void;
  /** When the archives last changed, of each release file. */
  releaseDates(): Date[];
  /** What apt would install for these names, recommendations left out. */
  withDependencies(names: readonly string[]): string[];
  /** The newest version of each package; nothing of one that is not there. */
  show(names: readonly string[]): Stanza[];
}

/** The suites that the images are made of. */
export function stableSources(suite: string): readonly AptSource[] {
  return [
    { archive: "debian", suites: [suite, `${suite}-updates`] },
    { archive: "debian-security", suites: [`${suite}-security`] },
  ];
}

/** `name` is that of its folder in the cache: one for each set of sources. */
export function createApt(
  name: string,
  options: { readonly architecture: Architecture; readonly sources: readonly AptSource[] },
): Apt {
  const folder = join(cacheFolder("apt"), name);
  for (const part of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(folder, part), { recursive: true });
  const sources = join(folder, "image.sources");
  const stanzas = options.sources.map(
    ({ archive, suites }) =>
      `Types: deb\nURIs: ${mirrorOf(archive)}\nSuites: ${suites.join(" ")}\nComponents: main\nSigned-By: ${KEYRING}\n`,
  );
  writeFileSync(sources, stanzas.join("\n"));
  const settings = {
    "APT::Architecture": options.architecture,
    "APT::Architectures::": options.architecture,
    "APT::Sandbox::User": "root",
    "Dir::Etc::sourcelist": sources,
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    // Whatever the machine allows itself.
    "APT::Default-Release": "",
    "APT::Get::AllowUnauthenticated": "false",
    "Acquire::AllowInsecureRepositories": "false",
    "Acquire::AllowWeakRepositories": "false",
    "Acquire::Check-Valid-Until": "true",
    "Dir::State": folder,
    "Dir::State::lists": join(folder, "lists"),
    "Dir::State::status": "/dev/null",
    "Dir::Cache": join(folder, "cache"),
    "Acquire::Languages": "none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
  };
  const settingOptions = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  const run = (program: string, ...args: readonly string[]): string => {
    const done = spawnSync(program, [...settingOptions, ...args], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" },
      timeout: 300_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    if (done.status !== 0)
      throw new Error(
        `Cannot ask apt: ${program} ${args[0]} ended with ${done.status ?? done.error?.message}\n${done.stderr}`,
      );
    return done.stdout;
  };
  return {
    update: () => void run("apt-get", "-o", "APT::Update::Error-Mode=any", "update"),
    releaseDates: () =>
      readdirSync(join(folder, "lists"))
        .filter((file) => file.endsWith("_InRelease"))
        .map((file) => {
          const date = /^Date: (.*)$/m.exec(readFileSync(join(folder, "lists", file), "utf8"))?.[1];
          return new Date(date ?? Number.NaN);
        }),
    withDependencies: (names) =>
      run("apt-get", "install", "--simulate", "--no-install-recommends", ...names)
        .split("\n")
        .flatMap((line) => /^Inst (\S+)/.exec(line)?.[1]?.replace(/:\w+$/, "") ?? []),
    show: (names) => (names.length === 0 ? [] : parseStanzas(run("apt-cache", "show", "--no-all-versions", ...names))),
  };
}
