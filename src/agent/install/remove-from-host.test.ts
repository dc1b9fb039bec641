import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { PLUGIN, TestHost } from "../../platform/fs/testing.ts";
import type { Installer } from "./installer.ts";
import { removeFromHost } from "./remove-from-host.ts";
import { DESIRED, foldersOf, withInstaller } from "./testing.ts";

const LIST =
  '{\n  "name": "cbr0",\n  "plugins": [\n    {\n      "type": "bridge",\n      "big": 12345678901234567890\n    }\n  ]\n}\n';
const SINGLE = '{"cniVersion":"0.3.1","name":"cbr0","type":"bridge"}';
const OPTIONS = { timeout: 120_000 };

const names = (text: string | undefined): boolean => text?.includes('"istio-cni"') ?? false;

const isReady = (installer: Installer) => (): boolean => installer.ready().ready;

describe("removeFromHost()", OPTIONS, () => {
  const NEVER = new AbortController().signal;

  for (const mode of ["chained", "owned", "standalone"] as const) {
    it(`gives the host back to the byte after the ${mode} mode`, async () => {
      using host = new TestHost();
      host.writeConf("10-x.conf", SINGLE);
      host.writeConf("20-y.conflist", LIST);
      await withInstaller(host, (installer) => host.until(isReady(installer)), { desired: { mode } });
      await removeFromHost(host, { ...foldersOf(host), ownedName: DESIRED.ownedName }, NEVER);
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
    await assert.rejects(removeFromHost(host, { ...foldersOf(host), ownedName: DESIRED.ownedName }, NEVER), {
      name: "FileError",
    });
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
        await removeFromHost(host, { ...foldersOf(host), ownedName: DESIRED.ownedName }, new AbortController().signal);
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
