// Pods with a user namespace of their own (hostUsers: false), made by hand: the network namespace belongs to it.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { KernelRefusalError } from "../../src/core/netlink/reply.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { sidecarRules } from "../../src/core/rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { openNetns, runInNetns } from "../../src/platform/linux/netns.ts";
import { createNetns } from "../../testbed/netns.ts";
import { compileStatic } from "../../testbed/node/compile.ts";
import { backendOf } from "./backend-fixture.ts";

const ECHO = compileStatic(`${import.meta.dirname}/backend-echo.c`);
/** Where the pod's root is on the node. */
const BASE = 231072;
const EINVAL = 22;
const POD = { hostUsers: false };
const V4 = { v4: true, v6: false } as const;
const capture: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, families: V4 };

test("the kernel refuses the owner match of iptables from outside, and takes native nftables", async () => {
  await using pod = await startPod();
  const refused = backendOf("iptables-nft", { belongsToOtherUsers: () => undefined }).apply(pod.fd, capture);
  await assert.rejects(refused, (error) => error instanceof KernelRefusalError && error.refusal.errno === EINVAL);
  const backend = backendOf("iptables-nft");
  const first = await backend.apply(pod.fd, capture, POD);
  assert.deepEqual(first, { dialect: "nftables", changed: true, replaced: [], repaired: [] });
  assert.equal((await backend.apply(pod.fd, capture, POD)).changed, false);
  assert.deepEqual(await backend.drift(pod.fd, capture, POD), []);
  assert.equal(await backend.remove(pod.fd, capture, POD), true);
  assert.equal(pod.run(["nft", "list", "ruleset"]), "");
});

test("whose users a namespace belongs to is asked of the namespace, whatever the pod's spec says", async () => {
  await using pod = await startPod();
  const backend = backendOf("iptables-nft");
  assert.equal((await backend.apply(pod.fd, capture)).dialect, "nftables");
  assert.equal((await backend.apply(pod.fd, capture, { hostUsers: true })).changed, false);
  using ordinary = createNetns();
  assert.equal((await backend.apply(ordinary.fd, capture, POD)).dialect, "iptables-nft");
});

test("the proxy is told by the id it has inside the pod, not by the one it has on the node", async () => {
  await using pod = await startPod();
  await backendOf("iptables-nft").apply(pod.fd, capture, POD);
  pod.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"]);
  await pod.start([ECHO, "serve", "15006", "15001", "9000"], 0);
  const ask = (uid: number) => pod.ask([ECHO, "hold", "10.9.9.9", "9000"], uid);
  assert.equal(await ask(BASE + 1337), "15006");
  assert.equal(await ask(BASE + 1000), "9000");
  assert.equal(await ask(1337), "9000");
});

test("native rules of a pod whose IPv6 is not captured leave its IPv6 alone, and redirect it where it is", async () => {
  for (const [families, port] of [
    [V4, "9000"],
    [{ v4: true, v6: true }, "15006"],
  ] as const) {
    await using pod = await startPod();
    const backend = backendOf("iptables-nft");
    await backend.apply(pod.fd, { ...capture, families }, POD);
    assert.deepEqual(await backend.drift(pod.fd, { ...capture, families }, POD), []);
    pod.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"]);
    pod.run(["ip", "addr", "add", "fd09::9/128", "dev", "lo", "nodad"]);
    await pod.start([ECHO, "serve", "15006", "15001", "9000"], 0);
    assert.equal(await pod.ask([ECHO, "hold", "10.9.9.9", "9000"], BASE + 1337), "15006");
    assert.equal(await pod.ask([ECHO, "hold", "fd09::9", "9000"], BASE + 1337), port);
  }
});

test("what upstream wrote from inside the user namespace is recognised and stays", async () => {
  await using pod = await startPod();
  pod.writeAsUpstream(capture);
  const backend = backendOf("iptables-nft");
  const taken = await backend.apply(pod.fd, capture, POD);
  assert.deepEqual(taken, { dialect: "iptables-nft", changed: false, replaced: [], repaired: [] });
  assert.deepEqual(await backend.drift(pod.fd, capture, POD), []);
});

test("what upstream wrote there and somebody altered is replaced by native nftables, also with TPROXY", async () => {
  for (const mode of ["REDIRECT", "TPROXY"] as const) {
    const wanted: SidecarCapture = { ...capture, mode };
    await using pod = await startPod();
    pod.writeAsUpstream(wanted);
    pod.run(["iptables-nft", "-t", "nat", "-F", "ISTIO_REDIRECT"]);
    const backend = backendOf("iptables-nft");
    assert.notDeepEqual(await backend.drift(pod.fd, wanted, POD), []);
    const taken = await backend.apply(pod.fd, wanted, POD);
    assert.equal(taken.dialect, "nftables");
    assert.deepEqual(taken.replaced, ["iptables-nft"]);
    assert.deepEqual(await backend.drift(pod.fd, wanted, POD), []);
    assert.doesNotMatch(pod.run(["iptables-nft-save"]), /^-A/m);
  }
});

test("a node without a complete native nftables says why it cannot take such a pod", async () => {
  await using pod = await startPod();
  const backend = backendOf("iptables-nft", { decision: { userNamespaces: undefined } });
  await assert.rejects(backend.apply(pod.fd, capture, POD), /hostUsers: false.*needs nf_tables/);
});

/** A user and network namespace held by a process that ends with its input. */
async function startPod() {
  const holder = spawn("unshare", ["--user", "--net", "sh", "-c", "echo ready; exec cat >/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  assert.ok(holder.stdout !== null && holder.pid !== undefined);
  await Promise.race([
    once(holder.stdout, "data"),
    once(holder, "exit").then(() =>
      assert.fail("unshare --user --net ended: this kernel or root makes no user namespaces"),
    ),
  ]);
  for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${holder.pid}/${map}`, `0 ${BASE} 65536\n`);
  const netns = openNetns(`/proc/${holder.pid}/ns/net`);
  const children = [holder];
  const spawnInside = ([file = "", ...args]: readonly string[], id: number) => {
    const child = runInNetns(netns.fd, () =>
      spawn(file, args, { stdio: ["pipe", "pipe", "inherit"], uid: id, gid: id }),
    );
    children.push(child);
    return child;
  };
  const finish = (argv: readonly string[], done: { status: number | null; stdout: string; stderr: string }): string => {
    assert.equal(done.status, 0, `${argv.join(" ")}: ${done.stderr}`);
    return done.stdout;
  };
  const pod = {
    fd: netns.fd,
    run([file = "", ...args]: readonly string[]): string {
      const options = { encoding: "utf8", timeout: 20_000, env: { ...process.env, LC_ALL: "C" } } as const;
      return finish(
        [file, ...args],
        runInNetns(netns.fd, () => spawnSync(file, args, options)),
      );
    },
    async start(argv: readonly string[], id: number): Promise<void> {
      await once(spawnInside(argv, id).stdout ?? assert.fail(), "data");
    },
    async ask(argv: readonly string[], id: number): Promise<string> {
      const [data] = await once(spawnInside(argv, id).stdout ?? assert.fail(), "data");
      return String(data).trim();
    },
    /** Contract 5.8: nsenter --user --net, then the tool. */
    writeAsUpstream(wanted: SidecarCapture): void {
      const inside = [`--user=/proc/${holder.pid}/ns/user`, `--net=/proc/${holder.pid}/ns/net`];
      for (const ruleset of sidecarRules(wanted)) {
        const argv = [...inside, "iptables-nft-restore", "--noflush"];
        const input = renderIptables(ruleset);
        finish(argv, spawnSync("nsenter", argv, { encoding: "utf8", timeout: 20_000, input }));
      }
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const closed = once(child, "close");
        child.kill("SIGKILL");
        await closed;
      }
      netns[Symbol.dispose]();
    },
  };
  pod.run(["ip", "link", "set", "lo", "up"]);
  return pod;
}
