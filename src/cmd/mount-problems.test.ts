import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { resolveConfig } from "../core/config/resolve-config.ts";
import { findMountProblems } from "./mount-problems.ts";

const configOf = (env: Readonly<Record<string, string>>) => resolveConfig({ flags: new Map(), env }).config;

describe("findMountProblems()", () => {
  it("names everything that is missing in one sentence (P11)", async () => {
    const env = {
      MOUNTED_CNI_NET_DIR: "/missing/net.d",
      CNI_BIN_DIR: "/missing/a:/missing/b",
      REPAIR_REPAIR_PODS: "false",
    };
    const problems = await findMountProblems(configOf(env));
    assert.equal(problems.length, 1);
    assert.match(
      problems[0] ?? "",
      /^Missing in this container: \/missing\/net\.d, \/host\/missing\/a, \/host\/missing\/b; the DaemonSet has to mount/,
    );
  });

  it("notices a run directory that is the container's own while the CNI folder is the host's", async () => {
    // /proc is a mount wherever this runs, a folder that is not there is none.
    const env = { MOUNTED_CNI_NET_DIR: "/proc", CNI_BIN_DIR: "/usr/bin", REPAIR_REPAIR_PODS: "false" };
    const problems = await findMountProblems(configOf({ ...env, CNI_AGENT_RUN_DIR: "/no-such-run-dir" }));
    assert.match(problems.join(), /^\/no-such-run-dir is not mounted from the host, although \/proc is/);
    assert.deepEqual(await findMountProblems(configOf({ ...env, CNI_AGENT_RUN_DIR: "/proc/self" })), []);
  });
});
