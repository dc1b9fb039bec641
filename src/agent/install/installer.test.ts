import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { PLUGIN, TestHost } from "../../platform/fs/testing.ts";
import type { Installer } from "./installer.ts";
import { withInstaller } from "./testing.ts";

const LIST =
  '{\n  "name": "cbr0",\n  "plugins": [\n    {\n      "type": "bridge",\n      "big": 12345678901234567890\n    }\n  ]\n}\n';
const OPTIONS = { timeout: 120_000 };

const names = (text: string | undefined): boolean => text?.includes('"istio-cni"') ?? false;

const isReady = (installer: Installer) => (): boolean => installer.ready().ready;

describe("createInstaller()", OPTIONS, () => {
  it("installs plugin and conflist entry, says so, and leaves both at its end (D8)", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    chmodSync(join(host.netDir, "10-x.conflist"), 0o640);
    await withInstaller(host, async (installer) => {
      assert.deepEqual(installer.ready(), { ready: false, reason: "the host has not been looked at yet" });
      await host.until(isReady(installer));
      assert.deepEqual(installer.status().confName, "10-x.conflist");
    });
    assert.equal(host.plugin(), PLUGIN);
    assert.equal(statSync(join(host.binDir, "istio-cni")).mode & 0o777, 0o755);
    assert.equal(statSync(join(host.netDir, "10-x.conflist")).mode & 0o777, 0o640);
    assert.ok(names(host.readConf("10-x.conflist")));
    assert.match(host.readConf("10-x.conflist") ?? "", /12345678901234567890/);
    assert.deepEqual(host.counted, ["ready false", "ready false", "ready true", "SUCCESS", "ready false"]);
    assert.deepEqual(host.logged.slice(0, 2), [
      `info Copied istio-cni to ${host.binDir}`,
      `info Wrote CNI config to ${host.netDir}/10-x.conflist`,
    ]);
  });

  it("stays away while the mark of an uninstall lies there, and tells who looks after pods, also of its end", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    const told = () => host.counted.filter((entry) => entry.startsWith("taken off"));
    await withInstaller(host, async (installer) => {
      await host.until(isReady(installer));
      assert.deepEqual(told(), []);
      writeFileSync(join(host.runDir, "uninstalled"), "");
      await host.until(() => installer.status().state === "removed");
      assert.deepEqual(told(), ["taken off true"]);
      assert.ok(!names(host.readConf("10-x.conflist")));
      unlinkSync(join(host.runDir, "uninstalled"));
      await host.until(isReady(installer));
    });
    assert.deepEqual(told(), ["taken off true", "taken off false"]);
  });

  it("tells once that it was taken off, and tries with pauses, while its entry cannot be taken out", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    const told = () => host.counted.filter((entry) => entry.startsWith("taken off"));
    let attempts = 0;
    await withInstaller(host, async (installer) => {
      await host.until(isReady(installer));
      host.fault = (call, path) => {
        if (call !== "file.writeFile" || !path.startsWith(host.netDir)) return;
        attempts++;
        throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      };
      host.logged.length = 0;
      writeFileSync(join(host.runDir, "uninstalled"), "");
      await host.until(() => attempts === 4);
      assert.deepEqual(told(), ["taken off true"]);
      assert.match(installer.ready().reason, /^cannot change .*10-x\.conflist: the file system is full$/);
      assert.equal(host.logged.filter((line) => line.startsWith("warn Not installed")).length, 1);
      host.fault = () => undefined;
      await host.until(() => installer.status().state === "removed");
      assert.ok(!names(host.readConf("10-x.conflist")));
    });
    assert.deepEqual(told(), ["taken off true"]);
  });

  it("writes nothing when the host is right already", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    const before = [statSync(join(host.netDir, "10-x.conflist")).ino, statSync(join(host.binDir, "istio-cni")).ino];
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    assert.deepEqual(
      [statSync(join(host.netDir, "10-x.conflist")).ino, statSync(join(host.binDir, "istio-cni")).ino],
      before,
    );
  });

  it("waits for a primary CNI, says so once, and chains when it comes", async () => {
    using host = new TestHost();
    await withInstaller(host, async (installer) => {
      await host.until(() => installer.status().state === "waiting");
      assert.equal(host.plugin(), PLUGIN);
      host.writeConf("10-x.conflist", LIST);
      await host.until(isReady(installer));
    });
    assert.equal(host.logged.filter((line) => line.includes("Waiting for the primary CNI")).length, 1);
  });

  for (const [what, damaged] of [
    ["half written", LIST.slice(0, 40)],
    ["empty", ""],
    ["no JSON", "hello"],
    ["without plugins", '{"name":"n","plugins":[]}'],
  ] as const) {
    it(`stays alive when the conflist becomes ${what}, leaves it alone, and takes it up again (surprise 14)`, async () => {
      using host = new TestHost();
      host.writeConf("10-x.conflist", LIST);
      await withInstaller(host, async (installer) => {
        await host.until(isReady(installer));
        host.writeConf("10-x.conflist", damaged);
        await host.until(() => installer.status().state === "waiting");
        assert.equal(host.readConf("10-x.conflist"), damaged);
        assert.match(installer.ready().reason, /^no valid CNI configuration is in \/\S+ yet \(10-x\.conflist: /);
        host.writeConf("10-x.conflist", LIST);
        await host.until(() => isReady(installer)() && names(host.readConf("10-x.conflist")));
      });
    });
  }

  it("follows a conflist of higher priority (surprise 15)", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, async (installer) => {
      await host.until(isReady(installer));
      host.writeConf("05-y.conflist", LIST);
      await host.until(() => isReady(installer)() && installer.status().confName === "05-y.conflist");
      assert.ok(names(host.readConf("05-y.conflist")));
    });
  });

  it("waits when the conflist vanishes and does not bring it back itself", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, async (installer) => {
      await host.until(isReady(installer));
      unlinkSync(join(host.netDir, "10-x.conflist"));
      await host.until(() => installer.status().state === "waiting");
      assert.deepEqual(host.confNames(), []);
    });
  });

  it("takes no notice of a folder that is named like a conflist", async () => {
    using host = new TestHost();
    mkdirSync(join(host.netDir, "00-x.conflist"));
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    assert.ok(names(host.readConf("10-x.conflist")));
  });

  it("follows a symlink inside the folder and keeps it a symlink", async () => {
    using host = new TestHost();
    host.writeConf("real.txt", LIST);
    symlinkSync("real.txt", join(host.netDir, "10-x.conflist"));
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    assert.ok(names(host.readConf("real.txt")));
    assert.deepEqual(host.confNames(), ["10-x.conflist", "real.txt"]);
  });

  it("is not ready while a symlink leads where only the runtime can see, and is chained into the next file meanwhile", async () => {
    using host = new TestHost();
    writeFileSync(join(host.root, "outside"), LIST);
    symlinkSync("../outside", join(host.netDir, "05-x.conflist"));
    host.writeConf("10-y.conflist", LIST);
    await withInstaller(host, async (installer) => {
      await host.until(() => installer.status().state === "blocked" && names(host.readConf("10-y.conflist")));
      assert.match(
        installer.ready().reason,
        /05-x\.conflist, but it is a symlink to \.\.\/outside, which is no file inside/,
      );
    });
    assert.equal(host.readConf("05-x.conflist"), LIST);
  });

  it("is not held up by a symlink to nothing that comes first, which no runtime can use", async () => {
    using host = new TestHost();
    symlinkSync("nowhere", join(host.netDir, "05-x.conflist"));
    host.writeConf("10-y.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    assert.ok(names(host.readConf("10-y.conflist")));
    assert.deepEqual(host.confNames(), ["05-x.conflist", "10-y.conflist"]);
  });

  it("takes a folder that appears later, plugin and configuration", async () => {
    using host = new TestHost();
    const [netDir, binDir] = [join(host.root, "later/net.d"), join(host.root, "later/bin")];
    const candidates = { netDir: [netDir, join(host.root, "never")], binDirs: [[join(host.root, "never"), binDir]] };
    await withInstaller(
      host,
      async (installer) => {
        await host.until(() => installer.status().state === "blocked");
        assert.match(installer.ready().reason, /never cannot be read: it does not exist, nor .*later\/bin$/);
        mkdirSync(netDir, { recursive: true });
        mkdirSync(binDir);
        writeFileSync(join(netDir, "10-x.conflist"), LIST);
        await host.until(isReady(installer));
        assert.equal(installer.status().unwatched.size, 0);
      },
      candidates,
    );
    assert.ok(names(readFileSync(join(netDir, "10-x.conflist"), "utf8")));
    assert.equal(readFileSync(join(binDir, "istio-cni"), "utf8"), PLUGIN);
  });

  it("puts the plugin back when it is deleted, changed, or not executable any more", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    const path = join(host.binDir, "istio-cni");
    await withInstaller(host, async (installer) => {
      await host.until(isReady(installer));
      unlinkSync(path);
      await host.until(() => host.plugin() === PLUGIN);
      writeFileSync(path, "x");
      await host.until(() => host.plugin() === PLUGIN);
      chmodSync(path, 0o644);
      await host.until(() => (statSync(path).mode & 0o777) === 0o755);
    });
  });

  it("puts a new version of the plugin in every folder", async () => {
    using host = new TestHost();
    const second = join(host.root, "bin2");
    mkdirSync(second);
    writeFileSync(join(second, "istio-cni"), "old version", { mode: 0o755 });
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)), { binDirs: [[host.binDir], [second]] });
    assert.equal(statSync(join(second, "istio-cni")).size, PLUGIN.length);
  });

  it("notices a folder that was replaced", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, async (installer) => {
      await host.until(isReady(installer));
      renameSync(host.netDir, join(host.root, "old"));
      mkdirSync(host.netDir);
      await host.until(() => installer.status().state === "waiting");
      host.writeConf("20-y.conflist", LIST);
      await host.until(() => isReady(installer)() && names(host.readConf("20-y.conflist")));
    });
  });

  it("is blocked while the folder for plugins is missing, and goes on when it is there", async () => {
    using host = new TestHost();
    rmSync(host.binDir, { recursive: true });
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, async (installer) => {
      await host.until(() => installer.status().state === "blocked");
      assert.match(installer.ready().reason, /the plugin folder .*bin cannot be read: it does not exist/);
      assert.equal(host.readConf("10-x.conflist"), LIST);
      mkdirSync(host.binDir);
      await host.until(isReady(installer));
    });
  });

  it("removes what an earlier installer left half done", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    host.writeConf("10-x.conflist.istio-cni-tmp.0123456789ab", "half");
    host.writeConf("foreign.tmp.1", "stays");
    writeFileSync(join(host.binDir, "istio-cni.tmp.123"), "half");
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    assert.deepEqual(host.confNames(), ["10-x.conflist", "foreign.tmp.1"]);
  });

  for (const [errno, reason] of [
    ["EROFS", "the file system is read-only"],
    ["ENOSPC", "the file system is full"],
  ] as const) {
    it(`stays alive, keeps the old state and tries again when a write fails with ${errno}`, async () => {
      using host = new TestHost();
      host.writeConf("10-x.conflist", LIST);
      host.fault = (call, path) => {
        if (call === "file.writeFile" && path.startsWith(host.netDir))
          throw Object.assign(new Error(errno), { code: errno });
      };
      await withInstaller(host, async (installer) => {
        await host.until(() => installer.status().state === "failed");
        assert.deepEqual(installer.ready(), {
          ready: false,
          reason: `cannot change ${host.netDir}/10-x.conflist: ${reason}`,
        });
        assert.deepEqual(host.confNames(), ["10-x.conflist"]);
        assert.equal(host.readConf("10-x.conflist"), LIST);
        host.fault = () => undefined;
        await host.until(isReady(installer));
      });
      assert.ok(host.counted.includes("CREATE_CNI_CONFIG_FAILURE"));
    });
  }

  it("names no plugin in the conflist while the plugin cannot be copied, and gives the hint that helps", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    host.fault = (call, path) => {
      if (call === "open" && path.startsWith(`${host.binDir}/istio-cni.`))
        throw Object.assign(new Error("EROFS"), { code: "EROFS" });
    };
    await withInstaller(host, async (installer) => {
      await host.until(() => installer.status().state === "failed");
      assert.match(installer.ready().reason, /read-only; on platforms .* set global\.platform/);
    });
    assert.equal(host.readConf("10-x.conflist"), LIST);
    assert.ok(host.counted.includes("COPY_BINARIES_FAILURE"));
  });

  it("does not overwrite what another writer wrote between looking and writing", async () => {
    using host = new TestHost();
    const newer = LIST.replace("bridge", "newer");
    host.writeConf("10-x.conflist", LIST);
    host.fault = (call, path) => {
      if (call !== "file.sync" || !path.startsWith(host.netDir)) return;
      host.fault = () => undefined;
      host.writeConf("10-x.conflist", newer);
    };
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    assert.match(host.readConf("10-x.conflist") ?? "", /newer/);
    assert.ok(names(host.readConf("10-x.conflist")));
  });
});
