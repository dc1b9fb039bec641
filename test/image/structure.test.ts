// What is in the runtime images, and above all what is not; of both architectures, from the files themselves.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TarEntry } from "../../image/archive/read-tar.ts";
import { readElf } from "../../image/elf/read-elf.ts";
import { hashOf } from "../../image/inputs/cache.ts";
import { ARCHITECTURES, type Architecture, packagesOf, readLock } from "../../image/inputs/lock.ts";
import { type FileTree, resolvePath } from "../../image/tree/file-tree.ts";
import type { Variant } from "./built-images.ts";
import { readImage } from "./image-content.ts";

const PARTS = "usr/local/lib/istio-install-cni";
/** Everything a kernel would execute. One more is a decision, not an accident. */
const EXECUTABLES = [
  "opt/cni/bin/istio-cni",
  "usr/bin/tini",
  "usr/local/bin/install-cni",
  `${PARTS}/node`,
  "usr/sbin/xtables-legacy-multi",
  "usr/sbin/xtables-nft-multi",
];
/** What is made here and belongs to no package. */
const OWN_FILES = [
  "etc/group",
  "etc/nsswitch.conf",
  "etc/passwd",
  "etc/shadow",
  "opt/cni/bin/istio-cni",
  "usr/local/bin/install-cni",
  `${PARTS}/agent.mjs`,
  "usr/share/doc/istio-install-cni/LICENSE",
  "usr/share/doc/istio-install-cni/LICENSE.musl",
];
const NPM_FILES = [`${PARTS}/node`, `${PARTS}/koffi.node`, "usr/share/doc/koffi/LICENSE", "usr/share/doc/node/LICENSE"];
const FIPS_FILES = ["etc/ssl/openssl.cnf", "usr/lib/ssl/fipsmodule.cnf"];

for (const variant of ["runtime", "fips"] as const)
  for (const architecture of ARCHITECTURES) describeImage(variant, architecture);

function describeImage(variant: Variant, architecture: Architecture): void {
  describe(`the ${variant} image for ${architecture}`, () => {
    const { files, config, layers, manifest } = readImage(variant, architecture);
    const entries = [...files.values()];
    const regular = entries.filter(({ kind }) => kind === "file");

    test("has exactly these executables, and no script", () => {
      const isLibrary = (path: string): boolean => /\.so(\.[\d.]+)?$/.test(path);
      const programs = regular.filter(
        ({ mode, path, content }) => (mode & 0o111) !== 0 && !isLibrary(path) && isProgram(content),
      );
      assert.deepEqual(pathsOf(programs), EXECUTABLES.toSorted());
      assert.deepEqual(pathsOf(regular.filter(({ content }) => content[0] === 0x23 && content[1] === 0x21)), []);
    });

    test("has no shell, package manager, interpreter or way to fetch something", () => {
      const banned =
        /(^|\/)(sh|bash|dash|ash|zsh|busybox|toybox|apt[\w-]*|dpkg[\w-]*|apk|rpm|dnf|npm|npx|corepack|pip\d?|perl[\d.]*|python[\d.]*|curl|wget|nc|su|sudo|mount)$/;
      const records = new Set(["var/lib/dpkg"]);
      assert.deepEqual(pathsOf(entries.filter(({ path }) => banned.test(path) && !records.has(path))), []);
    });

    test("lends nobody rights: no setuid, nothing others may write, everything root's", () => {
      assert.deepEqual(pathsOf(entries.filter(({ mode }) => (mode & 0o7000) !== 0)), []);
      assert.deepEqual(pathsOf(entries.filter(({ kind, mode }) => kind !== "symlink" && (mode & 0o022) !== 0)), []);
      assert.deepEqual(pathsOf(entries.filter(({ uid, gid }) => uid !== 0 || gid !== 0)), []);
    });

    test("gives the launcher the chart's five capabilities, permitted only, and no other file any", () => {
      const carriers = entries.filter(({ capabilities }) => capabilities !== undefined);
      assert.deepEqual(pathsOf(carriers), ["usr/local/bin/install-cni"]);
      // Revision 2 without the effective bit, then permitted and inheritable of the lower and the upper 32.
      assert.equal(
        Buffer.from(carriers[0]?.capabilities ?? []).toString("hex"),
        "0000000202302800000000000000000000000000",
      );
    });

    test("has only files that a package or this project owns, unchanged", () => {
      const owned = new Map<string, string>();
      for (const { path, content } of regular.filter(({ path }) =>
        /^var\/lib\/dpkg\/status\.d\/.*\.md5sums$/.test(path),
      )) {
        for (const line of new TextDecoder()
          .decode(content)
          .split("\n")
          .filter((each) => each !== "")) {
          const [sum = "", name = ""] = line.split("  ");
          owned.set(name, sum);
        }
        assert.ok(files.has(path.replace(/\.md5sums$/, "")));
      }
      const changed = regular.filter(
        ({ path, content }) => owned.has(path) && owned.get(path) !== hashOf(content, "md5"),
      );
      assert.deepEqual(pathsOf(changed), []);
      assert.deepEqual(
        [...owned.keys()].filter((path) => !files.has(path)),
        [],
      );
      const unowned = regular.filter(({ path }) => !owned.has(path) && !path.startsWith("var/lib/dpkg/status.d/"));
      const expected = [
        ...OWN_FILES,
        // What agent.mjs imports: named after its content, so by no list.
        ...pathsOf(regular.filter(({ path }) => path.startsWith(`${PARTS}/agent-`) && path.endsWith(".mjs"))),
        ...NPM_FILES,
        "etc/ssl/certs/ca-certificates.crt",
        ...(variant === "fips" ? FIPS_FILES : []),
      ];
      assert.deepEqual(pathsOf(unowned), expected.toSorted());
    });

    test("names exactly the locked packages to scanners, each with its licence", () => {
      const names = [...files.keys()]
        .flatMap((path) => /^var\/lib\/dpkg\/status\.d\/(.*)$/.exec(path)?.[1] ?? [])
        .filter((name) => !name.endsWith(".md5sums"));
      const lock = readLock();
      const locked = [
        ...packagesOf(lock, "runtime", architecture),
        ...(variant === "fips" ? packagesOf(lock, "fips", architecture) : []),
      ];
      assert.deepEqual(names.toSorted(), locked.map(({ name }) => name).toSorted());
      const tree = asTree(entries);
      for (const { name, version } of locked) {
        const text = new TextDecoder().decode(files.get(`var/lib/dpkg/status.d/${name}`)?.content);
        assert.ok(text.includes(`\nVersion: ${version}\n`), name);
        assert.equal(resolvePath(tree, `usr/share/doc/${name}/copyright`)?.kind, "file", name);
      }
    });

    test("carries no secret", () => {
      const secrets =
        /-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{64}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|_authToken=/;
      const text = (entry: TarEntry): string => Buffer.from(entry.content).toString("latin1");
      // Node's own binary has such words in its documentation of options; it is checked as the package's own, above.
      assert.deepEqual(
        pathsOf(regular.filter((entry) => entry.path !== `${PARTS}/node` && secrets.test(text(entry)))),
        [],
      );
      assert.deepEqual(
        pathsOf(entries.filter(({ path }) => /(^|\/)(\.git|\.ssh|\.npmrc|\.env|gshadow|.*\.key)$/.test(path))),
        [],
      );
    });

    test("has no password of anybody, and says so where only root reads", () => {
      const shadow = files.get("etc/shadow");
      assert.equal(shadow?.mode, 0o600);
      const users = (path: string): [name: string, password: string][] =>
        [...new TextDecoder().decode(files.get(path)?.content).matchAll(/^([^:\n]+):([^:\n]*):/gm)].map(
          ([, name = "", password = ""]) => [name, password],
        );
      const [passwd, passwords] = [users("etc/passwd"), users("etc/shadow")];
      assert.deepEqual(passwords.map(([name]) => name).toSorted(), passwd.map(([name]) => name).toSorted());
      for (const [name, password] of passwords) assert.equal(password, "*", name);
    });

    test("has every library that any of its programs or libraries is linked with", () => {
      const tree = asTree(entries);
      const folder = `usr/lib/${architecture === "amd64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu"}`;
      let seen = 0;
      for (const { path, content } of regular) {
        const elf = readElf(content);
        if (elf === undefined) continue;
        seen += 1;
        assert.equal(elf.machine, architecture, path);
        assert.deepEqual(elf.runPath, [], path);
        if (elf.interpreter !== undefined) assert.equal(resolvePath(tree, elf.interpreter)?.kind, "file", path);
        for (const library of elf.needed)
          assert.equal(resolvePath(tree, `${folder}/${library}`)?.kind, "file", `${path} needs ${library}`);
      }
      assert.ok(seen > 100, `only ${seen} ELF files`);
    });

    test("is hardened: no executable stack, no writable code, relocations read-only, position-independent but for Node", () => {
      for (const { path, content } of regular) {
        const elf = readElf(content);
        if (elf === undefined) continue;
        assert.equal(elf.hasExecutableStack, false, path);
        assert.equal(elf.hasWritableCode, false, path);
        assert.equal(elf.hasRelro || !elf.hasDynamicSection, true, path);
        // The official build of Node is at fixed addresses (docs/images.md).
        assert.equal(elf.type, path === `${PARTS}/node` ? "ET_EXEC" : "ET_DYN", path);
        if (path === "usr/local/bin/install-cni" || path === "opt/cni/bin/istio-cni") {
          assert.deepEqual(elf.needed, [], path);
          assert.equal(elf.interpreter, undefined, path);
          assert.ok(elf.bindsNow, path);
        }
      }
    });

    test("has no link that ends nowhere, but for what a runtime mounts", () => {
      const tree = asTree(entries);
      const dangling = entries.filter(({ kind, path }) => kind === "symlink" && resolvePath(tree, path) === undefined);
      assert.deepEqual(pathsOf(dangling), []);
    });

    test("looks users and groups up in files alone, and has no other name service than DNS for hosts (D29)", () => {
      const text = new TextDecoder().decode(files.get("etc/nsswitch.conf")?.content);
      const services = new Map(
        text
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => line.split(": ") as [string, string]),
      );
      assert.equal(services.get("passwd"), "files");
      assert.equal(services.get("group"), "files");
      assert.equal(services.get("hosts"), "files dns");
      const modules = [...files.keys()].flatMap((path) => /\/libnss_(\w+)\.so/.exec(path)?.[1] ?? []);
      assert.deepEqual(modules.toSorted(), ["dns", "files"]);
    });

    test("says who it runs as, what it starts and what it is", () => {
      assert.equal(config.architecture, architecture);
      assert.equal(config.config.User, "65532:65532");
      assert.deepEqual(config.config.Entrypoint, ["/usr/local/bin/install-cni"]);
      assert.deepEqual(config.config.Env, [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/cni/bin",
      ]);
      assert.equal(config.config.WorkingDir, "/opt/cni/bin");
      const labels = config.config.Labels;
      assert.partialDeepStrictEqual(labels, {
        "org.opencontainers.image.title": "istio-install-cni",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "com.docker.dhi.distro": "debian-13",
        "com.docker.dhi.shell": "",
        "com.docker.dhi.package-manager": "",
        "com.docker.dhi.flavor": variant === "fips" ? "fips" : "",
      });
      assert.equal(
        labels["org.opencontainers.image.version"],
        manifest.annotations["org.opencontainers.image.version"],
      );
      assert.match(new TextDecoder().decode(files.get("usr/lib/os-release")?.content), /^VERSION_ID="13"$/m);
    });

    test("is ordered so that a release of the agent is a small last layer, and nothing of it lies in another", () => {
      const names = config.history.map(({ created_by }) => created_by.replace("make images: ", ""));
      assert.deepEqual(names, ["debian", ...(variant === "fips" ? ["openssl-fips"] : []), "node", "koffi", "agent"]);
      const last = manifest.layers.at(-1);
      assert.ok(last !== undefined && last.size < 2_000_000, `${last?.size}`);
      const own = (layer: readonly TarEntry[]): string[] =>
        layer.filter(({ kind, path }) => kind === "file" && /istio/.test(path)).map(({ path }) => path);
      assert.deepEqual(layers.slice(0, -1).flatMap(own).toSorted(), [`${PARTS}/koffi.node`, `${PARTS}/node`]);
    });

    test("is less than half of the hardened peer's 283 MB, and below 50 MB to pull", () => {
      const size = regular.reduce((sum, { content }) => sum + content.length, 0);
      assert.ok(size < 140_000_000, `${size}`);
      assert.ok(manifest.layers.reduce((sum, layer) => sum + layer.size, 0) < 50_000_000);
    });
  });
}

/** Whether a kernel would start it by itself: it has an interpreter, or is static and not a library. */
function isProgram(content: Uint8Array): boolean {
  const elf = readElf(content);
  return elf !== undefined && (elf.interpreter !== undefined || elf.needed.length === 0);
}

function pathsOf(entries: readonly TarEntry[]): string[] {
  return entries.map(({ path }) => path).toSorted();
}

function asTree(entries: readonly TarEntry[]): FileTree {
  return new Map(
    entries.map((entry) => [
      entry.path,
      { ...entry, kind: entry.kind === "hardlink" ? "file" : entry.kind, origin: "" } as FileTree extends ReadonlyMap<
        string,
        infer E
      >
        ? E
        : never,
    ]),
  );
}
