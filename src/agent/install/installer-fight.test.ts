// Another writer takes our entry out again and again.
import assert from "node:assert/strict";
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { FightPolicy } from "../../core/cni/conflist-life.ts";
import { PLUGIN, TestHost } from "../../platform/fs/testing.ts";
import type { Installer } from "./installer.ts";
import { withInstaller } from "./testing.ts";

const LIST =
  '{\n  "name": "cbr0",\n  "plugins": [\n    {\n      "type": "bridge",\n      "big": 12345678901234567890\n    }\n  ]\n}\n';
const OPTIONS = { timeout: 120_000 };

const names = (text: string | undefined): boolean => text?.includes('"istio-cni"') ?? false;

const isReady = (installer: Installer) => (): boolean => installer.ready().ready;

describe("createInstaller(), where somebody fights for the file", OPTIONS, () => {
  it("puts its entry back as often as it is taken out, counts, and warns once with a hint for Cilium", async () => {
    using host = new TestHost();
    host.writeConf("05-cilium.conflist", LIST);
    await withInstaller(host, async (installer) => {
      await host.until(isReady(installer));
      for (let times = 1; times <= 8; times++) {
        host.writeConf("05-cilium.conflist", LIST);
        await host.until(() => isReady(installer)() && names(host.readConf("05-cilium.conflist")));
      }
      assert.equal(installer.status().rewrites, 8);
      assert.partialDeepStrictEqual(installer.status().fight, {
        name: "05-cilium.conflist",
        writer: "the writer of 05-cilium.conflist (bridge)",
        policy: "keep",
      });
    });
    assert.equal(host.counted.filter((name) => name === "reasserted").length, 8);
    const warnings = host.logged.filter((line) => line.startsWith("warn "));
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] ?? "",
      /05-cilium\.conflist: the writer of 05-cilium\.conflist \(bridge\); put back 6 times in a row, it goes on, ever slower; with Cilium, set cni\.exclusive=false$/,
    );
    assert.deepEqual(
      host.counted.filter((line) => line.startsWith("fight") || line.startsWith("told")),
      [`told ${warnings[0]?.slice("warn ".length)}`, "fight true"],
    );
  });

  it("leaves the file to a writer that keeps at it where it shall concede, says so and is not ready", async () => {
    using host = new TestHost();
    await fightOver(host, "concede", async (installer) => {
      await host.until(() => installer.status().state === "blocked");
      assert.match(installer.ready().reason, /^10-x\.conflist is left to the writer of 10-x\.conflist \(bridge\)/);
      unlinkSync(join(host.binDir, "istio-cni"));
      await host.until(() => host.plugin() === PLUGIN);
      assert.equal(installer.ready().ready, false);
    });
    assert.equal(host.readConf("10-x.conflist"), LIST);
  });

  it("moves to a file of its own before a writer that keeps at it where it shall, and stays there", async () => {
    using host = new TestHost();
    await fightOver(host, "own", async (installer) => {
      await host.until(() => isReady(installer)() && installer.status().confName === "02-istio-cni.conflist");
      assert.equal(host.readConf("10-x.conflist"), LIST);
    });
    await withInstaller(host, (installer) => host.until(isReady(installer)), { fight: "own" });
    assert.ok(names(host.readConf("02-istio-cni.conflist")));
    assert.equal(host.readConf("10-x.conflist"), LIST);
  });
});

/** Takes the entry out as often as it takes until a person is told, and once more. */
async function fightOver(
  host: TestHost,
  fight: FightPolicy,
  then: (installer: Installer) => Promise<void>,
): Promise<void> {
  host.writeConf("10-x.conflist", LIST);
  await withInstaller(
    host,
    async (installer) => {
      for (let times = 0; times < 6; times++) {
        await host.until(() => isReady(installer)() && names(host.readConf("10-x.conflist")));
        host.writeConf("10-x.conflist", LIST);
      }
      await host.until(() => installer.status().fight !== undefined);
      host.writeConf("10-x.conflist", LIST);
      await then(installer);
    },
    { fight },
  );
}
