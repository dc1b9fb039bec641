import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { resolveConfig } from "../../core/config/resolve-config.ts";
import { exec } from "../../platform/exec/exec.ts";
import { bounded } from "./bounded.ts";
import { gatherCni, gatherFolders, withHostNames } from "./host-facts.ts";

const root = mkdtempSync(join(tmpdir(), "doctor-"));
after(() => rmSync(root, { recursive: true, force: true }));

describe("bounded()", () => {
  it("gives the answer, or why there is none, and never rejects", async () => {
    assert.deepEqual(await bounded(60_000, () => 7), { value: 7 });
    assert.deepEqual(await bounded(60_000, async () => "x"), { value: "x" });
    const thrown = () => {
      throw new Error("no");
    };
    assert.deepEqual(await bounded(60_000, thrown), { unknown: "no" });
    assert.deepEqual(await bounded(60_000, () => Promise.reject(new Error("later"))), { unknown: "later" });
  });

  it("gives up what never answers", async () => {
    assert.deepEqual(await bounded(10, () => new Promise(() => undefined)), { unknown: "no answer within 0.01 s" });
  });
});

describe("gatherFolders() and gatherCni()", () => {
  const folder = (name: string): string => {
    const path = join(root, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const settings = (env: Readonly<Record<string, string>>) => resolveConfig({ flags: new Map(), env }).config;

  it("tell what is there of a folder, a symlink to one, a file, and nothing", async () => {
    symlinkSync(folder("real"), join(root, "link"));
    writeFileSync(join(root, "file"), "");
    const config = settings({
      MOUNTED_CNI_NET_DIR: join(root, "link"),
      CNI_BIN_DIR: [join(root, "file"), join(root, "missing")].join(":"),
      CNI_AGENT_RUN_DIR: folder("run"),
    });
    const found = (await gatherFolders(config, undefined)).map((one) => one.found);
    assert.equal(found[0]?.realPath, join(root, "real"));
    assert.deepEqual(
      found.map((one) => one?.isFolder),
      [true, false, undefined, true],
    );
    assert.ok(found[0] !== undefined && "value" in found[0].space && found[0].space.value.freeBytes > 0);
  });

  it("do not wait for a fifo, nor follow a link out of the folder, nor take one for a configuration", async () => {
    const netDir = folder("net.d");
    await exec({ argv: ["/usr/bin/mkfifo", join(netDir, "00-fifo.conflist")], timeoutMs: 60_000 });
    symlinkSync("/etc/passwd", join(netDir, "01-away.conflist"));
    symlinkSync("nothing", join(netDir, "02-dangling.conflist"));
    const { view, decision } = await gatherCni(settings({ MOUNTED_CNI_NET_DIR: netDir, CNI_BIN_DIR: folder("bin") }));
    assert.ok("value" in view && "files" in view.value.netDir);
    assert.deepEqual(
      view.value.netDir.files.filter(({ content }) => "bytes" in content),
      [],
    );
    assert.ok("value" in decision);
    assert.notEqual(decision.value.state, "installed");
  });

  it("tell which of the network's plugins no plugin folder has, and nothing where there is no such folder", async () => {
    const [netDir, bin] = [folder("net.d"), folder("bin")];
    const plugins = [
      { type: "bridge" },
      { type: "flannel" },
      { type: "portmap" },
      { type: "istio-cni" },
      { type: "../net.d" },
    ];
    writeFileSync(join(netDir, "10-a.conflist"), JSON.stringify({ cniVersion: "1.0.0", name: "a", plugins }));
    writeFileSync(join(bin, "bridge"), "");
    // As k3s has it: a link to a place of the host that no container sees.
    symlinkSync("/var/lib/rancher/k3s/data/0/bin/cni", join(bin, "flannel"));
    const absentIn = async (binDir: string) =>
      (await gatherCni(settings({ MOUNTED_CNI_NET_DIR: netDir, CNI_BIN_DIR: binDir }))).absentPlugins;
    assert.deepEqual(await absentIn(bin), ["portmap"]);
    assert.deepEqual(await absentIn(join(bin, "gone")), []);
  });

  it("look at the host's own names where there is no container", () => {
    const config = settings({});
    assert.deepEqual(withHostNames(config, true).install.netDir, ["/host/etc/cni/net.d"]);
    const { netDir, binDirs } = withHostNames(config, false).install;
    assert.deepEqual(
      [netDir, binDirs],
      [["/host/etc/cni/net.d", "/etc/cni/net.d"], [["/host/opt/cni/bin", "/opt/cni/bin"]]],
    );
  });
});
