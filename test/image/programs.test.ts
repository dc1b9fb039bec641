// The programs of the images started in their own root file systems: those of arm64 under user-mode emulation, the dev
// images' package manager, and iptables as an agent would execute it.
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { ARCHITECTURES, type Architecture } from "../../image/inputs/lock.ts";
import { NATIVE_ARCHITECTURE, type Variant } from "./built-images.ts";
import { unpackImage } from "./image-content.ts";

const EMULATORS: Readonly<Record<Architecture, string>> = {
  amd64: "/usr/bin/qemu-x86_64-static",
  arm64: "/usr/bin/qemu-aarch64-static",
};

/** A root file system in which programs of any architecture are started. */
interface Root extends Disposable {
  readonly path: string;
  run(argv: readonly string[], env?: Readonly<Record<string, string>>, input?: string): SpawnSyncReturns<string>;
}

function unpack(variant: Variant, architecture: Architecture): Root {
  const image = unpackImage(variant, architecture);
  const emulator = architecture === NATIVE_ARCHITECTURE ? [] : ["/emulator"];
  if (emulator.length > 0) copyFileSync(EMULATORS[architecture], join(image.path, "emulator"));
  return {
    path: image.path,
    run: (argv, env = {}, input = "") =>
      spawnSync("unshare", ["--net", "--pid", "--fork", "chroot", image.path, ...emulator, ...argv], {
        encoding: "utf8",
        env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", ...env },
        input,
        timeout: 120_000,
      }),
    [Symbol.dispose]: () => image[Symbol.dispose](),
  };
}

for (const architecture of ARCHITECTURES) {
  describe(`programs of the runtime image for ${architecture}`, () => {
    const root = unpack("runtime", architecture);
    after(() => root[Symbol.dispose]());

    test("Node starts with the agent, which knows its version", () => {
      const parts = "/usr/local/lib/istio-install-cni";
      const { status, stdout, stderr } = root.run([`${parts}/node`, `${parts}/agent.mjs`, "version"]);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /\d+\.\d+\.\d+/);
    });

    test("koffi's binary loads and calls libc", () => {
      const script = [
        'const module = { exports: {} }; process.dlopen(module, "/usr/local/lib/istio-install-cni/koffi.node");',
        "console.log(typeof module.exports.load);",
      ].join("");
      const { stdout, stderr } = root.run(["/usr/local/lib/istio-install-cni/node", "-e", script]);
      assert.equal(stdout, "function\n", stderr);
    });

    test("plugin, tini and both kinds of iptables start", () => {
      const plugin = root.run(["/opt/cni/bin/istio-cni"], { CNI_COMMAND: "VERSION" }, '{"cniVersion":"1.0.0"}');
      assert.equal(plugin.status, 0, plugin.stderr);
      assert.match(plugin.stdout, /"supportedVersions"/);
      assert.match(root.run(["/usr/bin/tini", "--version"]).stdout, /^tini version 0\.19/);
      assert.match(root.run(["/usr/sbin/iptables-legacy", "--version"]).stdout, /^iptables v1\.8\.11 \(legacy\)/);
      assert.match(root.run(["/usr/sbin/ip6tables-nft-save", "--version"]).stdout, /^ip6tables-nft-save v1\.8\.11/);
    });
  });
}

describe("the runtime image's own answers", () => {
  const root = unpack("runtime", NATIVE_ARCHITECTURE);
  after(() => root[Symbol.dispose]());

  test("`docker run` of it with --help or version works, and without a cluster it ends and says what is missing", () => {
    assert.equal(root.run(["/usr/local/bin/install-cni", "--help"]).status, 0);
    assert.equal(root.run(["/usr/local/bin/install-cni", "version"]).status, 0);
    const bare = root.run(["/usr/local/bin/install-cni"]);
    assert.notEqual(bare.status, 0);
    assert.match(bare.stdout + bare.stderr, /Cannot run by itself: [\s\S]*KUBERNETES_SERVICE_HOST[\s\S]*What to do: /);
  });

  test("iptables -m owner loads no name service and asks nobody (D29)", () => {
    const rules =
      "*nat\n-A OUTPUT -m owner --uid-owner 1337 -j RETURN\n-A OUTPUT -m owner --gid-owner 1337 -j RETURN\nCOMMIT\n";
    for (const program of ["iptables-legacy-restore", "iptables-nft-restore"]) {
      // Whatever the kernel says of the table: names are looked up while rules are read.
      const { stderr } = root.run([`/usr/sbin/${program}`, "--test"], { LD_DEBUG: "libs" }, rules);
      const loaded = [...stderr.matchAll(/calling init: (\S+)/g)].map(([, path]) => path ?? "");
      assert.ok(
        loaded.some((path) => path.endsWith("libxt_owner.so")),
        stderr.slice(-2000),
      );
      assert.deepEqual(
        loaded.filter((path) => /nss|resolv|sss|ldap/.test(path)),
        [],
      );
    }
  });
});

for (const variant of ["dev", "fips-dev"] as const) {
  describe(`the ${variant} image`, () => {
    const root = unpack(variant, NATIVE_ARCHITECTURE);
    after(() => root[Symbol.dispose]());

    test("has a shell and tools, and a package manager whose records are whole", () => {
      const line = "id -u; awk 'BEGIN { print 1 + 1 }'; type -P sh apt-get ip nft ps";
      const shell = root.run(["/bin/bash", "-c", line]);
      assert.equal(
        shell.stdout,
        "0\n2\n/usr/bin/sh\n/usr/bin/apt-get\n/usr/sbin/ip\n/usr/sbin/nft\n/usr/bin/ps\n",
        shell.stderr,
      );
      assert.match(root.run(["/usr/bin/passwd", "--status", "nonroot"]).stdout, /^nonroot L /);
      const audit = root.run(["/usr/bin/dpkg", "--audit"]);
      assert.deepEqual([audit.status, audit.stdout], [0, ""]);
      const check = root.run(["/usr/bin/apt-get", "check"]);
      assert.equal(check.status, 0, check.stderr);
      const provider = root.run(["/usr/bin/dpkg-query", "--show", "openssl-provider-fips"]);
      assert.equal(provider.status, variant === "fips-dev" ? 0 : 1);
    });

    test("installs a package with apt, maintainer scripts included", () => {
      // A package made on the spot: no network.
      const folder = join(root.path, "root/made");
      mkdirSync(join(folder, "DEBIAN"), { recursive: true });
      writeFileSync(
        join(folder, "DEBIAN/control"),
        "Package: made-here\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDepends: libc6, bash\nDescription: a test\n",
      );
      writeFileSync(join(folder, "DEBIAN/postinst"), "#!/bin/sh\nset -e\necho configured > /made-here\n", {
        mode: 0o755,
      });
      const steps = [
        "dpkg-deb --build /root/made /root/made.deb",
        "apt-get install -y /root/made.deb",
        "cat /made-here",
        "dpkg --audit",
      ];
      const done = root.run(["/bin/bash", "-c", steps.join(" && ")], { DEBIAN_FRONTEND: "noninteractive" });
      assert.equal(done.status, 0, done.stderr);
      assert.match(done.stdout, /\nconfigured\n$/);
    });
  });
}
