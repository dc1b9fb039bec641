import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { PLUGIN, TestHost } from "../../platform/fs/testing.ts";
import type { Installer } from "./installer.ts";
import { markUninstalled } from "./run-dir.ts";
import { removeFrom, withInstaller } from "./testing.ts";

const LIST =
  '{\n  "name": "cbr0",\n  "plugins": [\n    {\n      "type": "bridge",\n      "big": 12345678901234567890\n    }\n  ]\n}\n';
const SINGLE = '{"cniVersion":"0.3.1","name":"cbr0","type":"bridge"}';
const OPTIONS = { timeout: 120_000 };

const names = (text: string | undefined): boolean => text?.includes('"istio-cni"') ?? false;

const isReady = (installer: Installer) => (): boolean => installer.ready().ready;

describe("removeFromHost()", OPTIONS, () => {
  for (const mode of ["chained", "owned", "standalone"] as const) {
    it(`gives the host back to the byte after the ${mode} mode`, async () => {
      using host = new TestHost();
      host.writeConf("10-x.conf", SINGLE);
      host.writeConf("20-y.conflist", LIST);
      await withInstaller(host, (installer) => host.until(isReady(installer)), { desired: { mode } });
      const { kept, failed } = await removeFrom(host);
      assert.deepEqual([kept, failed], [[], []]);
      assert.deepEqual(host.confNames(), ["10-x.conf", "20-y.conflist"]);
      assert.deepEqual(
        [host.readConf("10-x.conf"), host.readConf("20-y.conflist"), host.plugin()],
        [SINGLE, LIST, undefined],
      );
    });
  }

  it("keeps the plugin when a conflist cannot be put back", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    host.fault = (call) => {
      if (call === "rename") throw Object.assign(new Error("EIO"), { code: "EIO" });
    };
    const { done, failed } = await removeFrom(host);
    assert.deepEqual(done, []);
    assert.deepEqual(
      failed.map(({ path }) => path),
      [join(host.netDir, "10-x.conflist")],
    );
    assert.equal(host.plugin(), PLUGIN);
    host.fault = () => undefined;
    assert.deepEqual((await removeFrom(host)).done, [
      `Took our entry out of ${host.netDir}/10-x.conflist`,
      `Removed istio-cni from ${host.binDir}`,
    ]);
  });

  it("finds nothing to do the second time, and on a host that never had us", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    assert.deepEqual(await removeFrom(host), { done: [], kept: [], failed: [] });
    assert.equal(host.readConf("10-x.conflist"), LIST);
  });

  it("keeps the plugin for who still calls it, and says so", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    const { kept } = await removeFrom(host, { users: "crio calls it" });
    assert.deepEqual(kept, [{ path: join(host.binDir, "istio-cni"), reason: "crio calls it" }]);
    assert.deepEqual([host.readConf("10-x.conflist"), host.plugin()], [LIST, PLUGIN]);
  });

  it("keeps the plugin while a file that is half written has its name in it", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    const half = (host.readConf("10-x.conflist") ?? "").slice(0, -3);
    host.writeConf("20-y.conflist", half);
    const { kept } = await removeFrom(host);
    assert.match(kept[0]?.reason ?? "", /^20-y\.conflist may name it/);
    assert.deepEqual([host.readConf("10-x.conflist"), host.readConf("20-y.conflist")], [LIST, half]);
  });

  it("says which folder it cannot read, and leaves the rest as it is", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    const missing = join(host.root, "missing");
    const { done, failed } = await removeFrom(host, { folders: { netDir: [missing] } });
    assert.deepEqual(done, []);
    assert.match(failed[0]?.reason ?? "", /missing cannot be read: it does not exist$/);
    assert.equal(host.plugin(), PLUGIN);
  });

  it("takes a running agent off as well, once that has been told by the mark", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, async (installer) => {
      await host.until(isReady(installer));
      await markUninstalled(host.files, host.runDir);
      assert.deepEqual((await removeFrom(host)).failed, []);
      await host.until(() => installer.status().state === "removed");
      assert.match(installer.ready().reason, /taken off this node by install-cni uninstall/);
      assert.deepEqual([host.readConf("10-x.conflist"), host.plugin()], [LIST, undefined]);
    });
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    assert.ok(names(host.readConf("10-x.conflist")), "the next agent installs again");
  });

  it("leaves a way out when somebody puts the entry back again and again", async () => {
    using host = new TestHost();
    host.writeConf("10-x.conflist", LIST);
    await withInstaller(host, (installer) => host.until(isReady(installer)));
    const chained = host.readConf("10-x.conflist") ?? "";
    host.fault = (call, path) => {
      if (call === "readdir" && path === host.netDir) host.writeConf("10-x.conflist", chained);
    };
    const { failed } = await removeFrom(host);
    assert.match(failed[0]?.reason ?? "", /keeps putting it back/);
    assert.equal(host.plugin(), PLUGIN);
  });
});

describe("an installer that is killed", OPTIONS, () => {
  for (const [what, name, text] of [
    ["list", "10-x.conflist", LIST],
    ["single configuration", "10-x.conf", SINGLE],
  ] as const) {
    it(`leaves a usable ${what} and never one that names a missing plugin, at whichever call it ends`, async () => {
      let isFinished = false;
      for (let last = 0; !isFinished; last++) {
        using host = new TestHost();
        host.writeConf(name, text);
        isFinished = await runUntilCall(host, last);
        const usable = host.confNames().filter((file) => file === "10-x.conf" || file === "10-x.conflist");
        assert.ok(usable.length > 0, `call ${last}: nothing is left`);
        for (const file of usable) assert.doesNotThrow(() => JSON.parse(host.readConf(file) ?? ""), `call ${last}`);
        const isNamed = usable.some((file) => names(host.readConf(file)));
        assert.ok(!isNamed || host.plugin() === PLUGIN, `call ${last}: the plugin is missing`);
        await withInstaller(host, (installer) => host.until(isReady(installer)));
        assert.ok(names(host.readConf("10-x.conflist")));
        await removeFrom(host);
        assert.deepEqual([host.confNames(), host.readConf(name)], [[name], text]);
      }
    });
  }
});

/** Lets `last` calls of the file system happen, then none. True when the installer was ready before that. */
async function runUntilCall(host: TestHost, last: number): Promise<boolean> {
  let calls = 0;
  host.fault = (call, path) => {
    if (calls++ < last) return;
    if (call === "file.writeFile") writeFileSync(path, "{");
    throw new Error("killed");
  };
  let wasReady = false;
  await withInstaller(host, async (installer) => {
    await host.until(() => installer.status().state !== "starting" && installer.status().state !== "changing");
    wasReady = installer.ready().ready;
  });
  host.fault = () => undefined;
  return wasReady;
}
