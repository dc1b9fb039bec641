import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { renderHostKubeconfig } from "../../core/cni/host-kubeconfig.ts";
import { TestHost } from "../../platform/fs/testing.ts";
import { type HostKubeconfigsDeps, runHostKubeconfigs } from "./host-kubeconfigs.ts";

const LEGACY = "ZZZ-istio-cni-kubeconfig";
const NEW = "istio-cni-kubeconfig";
const UPSTREAMS = renderHostKubeconfig({ protocol: "https", host: "10.0.0.1", port: 443, ca: undefined, token: "t" });

/** Runs the service for so many rounds of half a minute. */
async function rounds(host: TestHost, count: number, deps: Partial<HostKubeconfigsDeps> = {}): Promise<number> {
  const ending = new AbortController();
  let nowMs = 0;
  let left = count;
  let failures = 0;
  const clock = {
    nowMs: () => nowMs,
    sleep: async () => {
      nowMs += 30_000;
      if (--left === 0) ending.abort();
    },
  };
  const options = { runDir: host.runDir, mode: 0o640, netDirs: [host.netDir], legacyName: LEGACY, recheckMs: 1 };
  const failed = (): void => void failures++;
  const all = { files: host.files, clock, log: host.log, render: undefined, isInstalled: () => true, failed };
  await runHostKubeconfigs({ ...all, ...deps }, options, ending.signal);
  return failures;
}

describe("runHostKubeconfigs()", () => {
  it("writes nothing unless it is asked for", async () => {
    using host = new TestHost();
    await rounds(host, 4);
    assert.equal(existsSync(join(host.runDir, NEW)), false);
  });

  it("writes the file with its mode, and anew when the token, the content or the mode has changed, else never", async () => {
    using host = new TestHost();
    const path = join(host.runDir, NEW);
    let token = "one";
    const render = async (): Promise<string> => UPSTREAMS.replace('"t"', `"${token}"`);
    await rounds(host, 1, { render });
    assert.equal(statSync(path).mode & 0o777, 0o640);
    const { ino } = statSync(path);
    await rounds(host, 3, { render });
    assert.equal(statSync(path).ino, ino);
    token = "two";
    await rounds(host, 1, { render });
    assert.match(readFileSync(path, "utf8"), /token: "two"/);
    unlinkSync(path);
    await rounds(host, 1, { render });
    assert.ok(existsSync(path));
  });

  it("says once that the file cannot be written, and leaves the old one", async () => {
    using host = new TestHost();
    const path = join(host.runDir, NEW);
    writeFileSync(path, UPSTREAMS);
    const render = async (): Promise<string> => {
      throw new Error("no token");
    };
    assert.equal(await rounds(host, 3, { render }), 1);
    assert.deepEqual(host.logged, [`error Cannot write ${path}: no token`]);
    assert.equal(readFileSync(path, "utf8"), UPSTREAMS);
  });

  it("says it again when the same failure comes back, although the file was right in between", async () => {
    using host = new TestHost();
    let looks = 0;
    const render = async (): Promise<string> => {
      if (++looks % 2 === 0) throw new Error("no token");
      return UPSTREAMS;
    };
    assert.equal(await rounds(host, 4, { render }), 2);
  });

  it("names the file that is missing, be it another one", async () => {
    using host = new TestHost();
    const ca = join(host.root, "none");
    const render = async (): Promise<string> =>
      String((await host.files.read(ca, "ca.crt", { maxBytes: 10, follow: true })).bytes);
    await rounds(host, 1, { render });
    assert.deepEqual(host.logged, [
      `error Cannot write ${join(host.runDir, NEW)}: Cannot read ${ca}/ca.crt: it does not exist`,
    ]);
  });

  it("removes what upstream left in both places, once our plugin has been there for a minute", async () => {
    using host = new TestHost();
    host.writeConf(LEGACY, UPSTREAMS);
    writeFileSync(join(host.runDir, NEW), UPSTREAMS);
    await rounds(host, 2);
    assert.deepEqual(host.confNames(), [LEGACY]);
    await rounds(host, 3);
    assert.deepEqual([host.confNames(), existsSync(join(host.runDir, NEW))], [[], false]);
  });

  for (const [what, prepare, deps] of [
    ["while our plugin is not in place", () => undefined, { isInstalled: () => false }],
    [
      "that a configuration still names",
      (host: TestHost) => host.writeConf("10-x.conflist", `{"kubeconfig":"/etc/cni/net.d/${LEGACY}"}`),
      {},
    ],
    [
      "where a configuration cannot be read",
      (host: TestHost) => symlinkSync("/elsewhere", join(host.netDir, "05-x.conflist")),
      {},
    ],
  ] as const) {
    it(`removes no kubeconfig ${what}`, async () => {
      using host = new TestHost();
      host.writeConf(LEGACY, UPSTREAMS);
      prepare(host);
      await rounds(host, 5, deps);
      assert.ok(host.confNames().includes(LEGACY));
    });
  }

  it("removes no file that is not istio-cni's, whatever its name", async () => {
    using host = new TestHost();
    for (const text of ["", "current-context: istio-cni-context", UPSTREAMS.replaceAll("istio-cni-context", "mine")]) {
      host.writeConf(LEGACY, text);
      await rounds(host, 4);
      assert.equal(host.readConf(LEGACY), text);
    }
  });
});
