// What is slow in iptables legacy, its programs and their lock, and who does not wait for it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createNetns } from "../../testbed/netns.ts";
import { HOST_DEPS, hostProbesOf, ips, listedIn, UID } from "./host-probes-fixture.ts";

test("a list that is older than what was told since takes nothing of that out", async () => {
  using netns = createNetns();
  const probes = hostProbesOf(netns, "iptables-legacy");
  // The rules are not there yet, so the list has to wait for programs; the pods do not.
  const converging = probes.converge(new Map([[UID.a, ips("10.0.0.1")]]), { isComplete: true });
  await Promise.all([probes.put(UID.b, ips("10.0.0.2")), converging]);
  assert.deepEqual(listedIn(netns, "iptables-legacy"), [`10.0.0.1 ${UID.a}`, `10.0.0.2 ${UID.b}`]);
  const putting = probes.put(UID.b, ips("10.0.0.3"));
  assert.equal(await probes.remove(UID.b), true);
  await putting;
  assert.deepEqual(listedIn(netns, "iptables-legacy"), [`10.0.0.1 ${UID.a}`]);
});

test("a pod that starts while a program waits for the lock of iptables legacy does not wait for it", async () => {
  using netns = createNetns();
  const gate = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  let isGated = false;
  const exec: typeof HOST_DEPS.exec = async (request) => {
    started.resolve();
    if (isGated) await gate.promise;
    return HOST_DEPS.exec(request);
  };
  const probes = hostProbesOf(netns, "iptables-legacy", {}, { exec });
  await probes.ensure();
  isGated = true;
  const looking = probes.ensure();
  await started.promise;
  await probes.put(UID.a, ips("10.0.0.1"));
  assert.deepEqual(listedIn(netns, "iptables-legacy"), [`10.0.0.1 ${UID.a}`]);
  gate.resolve();
  await looking;
});

test("iptables-legacy: nothing is written while another program of the node holds its lock", async () => {
  using netns = createNetns();
  const folder = mkdtempSync(join(tmpdir(), "xtables-lock-"));
  const lock = join(folder, "xtables.lock");
  const holder = spawn("flock", [lock, "sh", "-c", "echo held; exec cat"], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    const started = Promise.withResolvers<void>();
    let executed = 0;
    const exec: typeof HOST_DEPS.exec = (request) => {
      executed += 1;
      const done = HOST_DEPS.exec(request);
      if (request.argv[0].endsWith("-restore")) started.resolve();
      return done;
    };
    const deps = { exec, legacyLock: () => lock };
    const probes = hostProbesOf(netns, "iptables-legacy", {}, deps);
    const ensured = probes.ensure();
    await started.promise;
    const rules = (): string => netns.mustExec(["iptables-legacy-save", "-t", "nat"]);
    // The program has long begun by now, and waits.
    for (let count = 0; count < 5; count++) assert.ok(!rules().includes("ISTIO_POSTRT"));
    holder.stdin.end();
    await ensured;
    assert.ok(rules().includes("-A POSTROUTING -j ISTIO_POSTRT"));
    const before = executed;
    await probes.put(UID.a, ips("10.0.0.1"));
    assert.equal(executed, before, "an address needs no program");
  } finally {
    holder.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});
