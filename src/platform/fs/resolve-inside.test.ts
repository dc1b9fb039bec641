import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { hostNamesOf } from "./mount-point.ts";
import { resolveInside } from "./resolve-inside.ts";

const HOST_NAME = "/etc/cni/net.d";

/** A CNI folder that the host calls HOST_NAME, with links in it; beside it a file that must never be reached. */
class Scene {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), "istio-cni-resolve-")));
  readonly folder = join(this.root, "net.d");

  constructor(links: Readonly<Record<string, string>>) {
    mkdirSync(join(this.folder, "vendor"), { recursive: true });
    for (const path of ["net.d/real", "net.d/vendor/real", "outside"]) writeFileSync(join(this.root, path), "");
    for (const [name, target] of Object.entries(links)) symlinkSync(target, join(this.folder, name));
  }
  async resolve(name: string): Promise<string> {
    const path = await resolveInside(this.folder, name, undefined, async () => [HOST_NAME]);
    return path.slice(this.folder.length + 1);
  }
  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

describe("resolveInside()", () => {
  for (const [target, expected] of [
    ["real", "real"],
    ["vendor/real", "vendor/real"],
    ["vendor/../real", "real"],
    ["./vendor//real", "vendor/real"],
    ["/etc/cni/net.d/real", "real"],
    ["/etc/cni/net.d/vendor/../real", "real"],
    ["../net.d/real", "real"],
    ["../../cni/net.d/vendor/real", "vendor/real"],
    ["second", "vendor/real"],
    ["folder/real", "vendor/real"],
  ] as const) {
    it(`follows a link to ${target}, which the host sees in the folder`, async () => {
      using scene = new Scene({ a: target, second: "/etc/cni/net.d/folder/real", folder: "vendor" });
      assert.equal(await scene.resolve("a"), expected);
    });
  }

  for (const [target, code] of [
    ["missing", "dangling"],
    ["/etc/cni/net.d/missing", "dangling"],
    ["real/below", "dangling"],
    ["a", "dangling"],
    ["b", "dangling"],
    ["../outside", "outside"],
    ["vendor/../../outside", "outside"],
    ["/etc/hostname", "outside"],
    ["/etc/cni/net.d/../hostname", "outside"],
    ["/etc/cni/net.d-other/real", "outside"],
    ["../net.d-other/real", "outside"],
    ["out", "outside"],
  ] as const) {
    it(`refuses a link to ${target} as ${code}`, async () => {
      using scene = new Scene({ a: target, b: "a", out: "/var/lib/vendor" });
      await assert.rejects(scene.resolve("a"), { name: "FileError", code });
    });
  }

  it("gives a name that is not there back as it is", async () => {
    using scene = new Scene({});
    assert.equal(await scene.resolve("new"), "new");
  });

  it("takes the folder's own path for the host's where there is no container", async () => {
    using scene = new Scene({});
    symlinkSync(join(scene.folder, "real"), join(scene.folder, "a"));
    assert.equal(await resolveInside(scene.folder, "a"), join(scene.folder, "real"));
  });
});

describe("hostNamesOf()", () => {
  const mountInfo = [
    "1 0 0:20 / / rw - overlay overlay rw",
    "2 1 8:1 /etc/cni/multus/net.d /host/etc/cni/net.d rw - ext4 /dev/sda1 rw",
    "3 1 8:2 / /host/opt/cni/bin rw - ext4 /dev/sda2 rw",
    "4 1 8:1 /a\\040b /with\\040blank rw - ext4 /dev/sda1 rw",
  ].join("\n");
  for (const [folder, names] of [
    ["/host/etc/cni/net.d", ["/etc/cni/net.d", "/etc/cni/multus/net.d"]],
    ["/host/opt/cni/bin", ["/opt/cni/bin"]],
    ["/with blank/c", ["/a b/c"]],
    ["/var/lib", []],
  ] as const) {
    it(`knows ${folder} as ${names.join(" and ") || "nothing else"}`, async () => {
      assert.deepEqual(await hostNamesOf(folder, async () => mountInfo), names);
    });
  }

  it("knows the convention alone where mounts cannot be read", async () => {
    const refuse = async (): Promise<string> => {
      throw new Error("EACCES");
    };
    assert.deepEqual(await hostNamesOf("/host/a", refuse), ["/a"]);
  });
});
