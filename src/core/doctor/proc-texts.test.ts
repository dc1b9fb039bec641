import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { mountOf, mountsInside, parseMountInfo, sourceOf } from "../mount-info.ts";
import { modulesOfFeatures } from "../policy/backend-features.ts";
import { modulesToLoad, parseBuiltInModules, parseLoadedModules } from "./module-need.ts";
import { neededRights, wordsOfRight } from "./needed-rights.ts";
import {
  isFirstUserNamespace,
  parseFileLimit,
  parseListening,
  parseRelease,
  parseSeccomp,
  parseTokenTimes,
} from "./proc-texts.ts";
import { settingsOf } from "./testing.ts";

describe("parseMountInfo() and who reads it", () => {
  const text = [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro",
    "30 22 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,size=10k",
    "31 22 8:1 /var/a\\040b /host/with\\040blank ro,noexec,relatime master:1 - ext4 /dev/sda1 rw",
    "32 31 8:1 /x /host/with\\040blank/file rw - ext4 /dev/sda1 rw",
    "33 31 8:1 /y /host/with\\040blank/deeper/file rw - ext4 /dev/sda1 rw",
    "34 22 8:2 / /readonly rw - squashfs /dev/loop0 ro",
    "35 22 8:2 /one /twice rw - ext4 /dev/sda1 rw",
    "36 22 8:2 /two /twice rw - ext4 /dev/sda1 rw",
    "garbage",
    "1 2 3 - 4",
  ].join("\n");
  const mounts = parseMountInfo(text);

  it("read points, sources, flags of mount and file system, propagation and type", () => {
    assert.equal(mounts.length, 8);
    const blank = mountOf(mounts, "/host/with blank/sub/dir");
    assert.deepEqual([blank?.root, blank?.type, blank?.isPropagated], ["/var/a b", "ext4", true]);
    assert.deepEqual([...(blank?.options ?? [])], ["ro", "noexec", "relatime"]);
    assert.ok(
      mountOf(mounts, "/readonly/x")?.options.has("ro"),
      "a file system that is read-only whatever the mount says",
    );
  });

  it("find the mount on top, and none by a name that only begins alike", () => {
    assert.equal(mountOf(mounts, "/twice/x")?.root, "/two");
    assert.equal(mountOf(mounts, "/running")?.point, "/");
    assert.equal(mountOf(mounts, "/run")?.point, "/run");
    assert.deepEqual(
      mountsInside(mounts, "/host/with blank").map(({ point }) => point),
      ["/host/with blank/file"],
    );
  });

  it("tell where a path is in the mounted file system", () => {
    const [root, run, blank] = mounts;
    assert.ok(root !== undefined && run !== undefined && blank !== undefined);
    assert.equal(sourceOf(root, "/etc"), "/etc");
    assert.equal(sourceOf(root, "/"), "/");
    assert.equal(sourceOf(run, "/run/istio-cni"), "/istio-cni");
    assert.equal(sourceOf(blank, "/host/with blank"), "/var/a b");
  });
});

describe("the readers of /proc", () => {
  it("read the mode of seccomp, the hard limit of files, user namespaces", () => {
    assert.equal(parseSeccomp("CapInh:\t0\nCapEff:\t00000000a80425fb\nSeccomp:\t2\nSeccomp_filters:\t1\n"), 2);
    assert.equal(parseSeccomp("Seccomp_filters:\t1\n"), undefined);
    assert.equal(
      parseFileLimit(
        "Max processes 1 2 x\nMax open files            1024                 4096                 files     \n",
      ),
      4096,
    );
    assert.ok(isFirstUserNamespace("         0          0 4294967295\n"));
    assert.ok(!isFirstUserNamespace("0 100000 65536\n0 0 4294967295\n"));
  });

  it("read listening ports of both families, and no others", () => {
    const head = "  sl  local_address rem_address   st tx_queue\n";
    const v4 = `${head}   0: 00000000:1F40 00000000:0000 0A 0:0\n   1: 0100007F:0050 0100007F:C350 01 0:0\n`;
    const v6 = `${head}   0: 00000000000000000000000000000000:3AA6 00000000000000000000000000000000:0000 0A 0:0\n`;
    assert.deepEqual([...parseListening(v4, v6)], [8000, 15014]);
    assert.deepEqual([...parseListening("", head, "x y z")], []);
  });

  it("read releases and the times of a token, and nothing else of it", () => {
    assert.deepEqual(parseRelease("5.15.0-1053-aws"), [5, 15]);
    assert.equal(parseRelease("v6.1"), undefined);
    assert.deepEqual(parseTokenTimes('{"exp":100,"nbf":"x","sub":"secret"}'), {
      expiresAtMs: 100_000,
      notBeforeMs: undefined,
    });
    for (const text of ["", "null", "7", "{", "[]x"]) assert.equal(parseTokenTimes(text), undefined);
  });

  it("take any text whatsoever", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
        parseMountInfo(text);
        parseSeccomp(text);
        parseFileLimit(text);
        parseListening(text);
        parseRelease(text);
        parseTokenTimes(text);
        parseBuiltInModules(text);
        parseLoadedModules(text);
      }),
    );
  });
});

describe("modulesToLoad()", () => {
  const loaded = parseLoadedModules("nf_tables 372736 1 nft_compat, Live 0x0\nxt_owner 12288 0 - Live 0x0\n");
  const builtIn = parseBuiltInModules("kernel/net/netfilter/nfnetlink.ko\nkernel/net/ipv4/netfilter/nft-dashed.ko\n\n");
  const facts = { loaded, builtIn, cannotLoad: false };

  it("names what is neither loaded nor built in", () => {
    const wanted = ["nf_tables", "nfnetlink", "nft_dashed", "xt_TPROXY", "xt_owner"];
    assert.deepEqual(modulesToLoad(wanted, facts), ["xt_TPROXY"]);
  });

  it("names nothing where nothing can be loaded", () => {
    assert.deepEqual(modulesToLoad(["xt_TPROXY"], { ...facts, cannotLoad: true }), []);
    assert.deepEqual(modulesToLoad(["xt_TPROXY"], { ...facts, loaded: undefined }), []);
  });

  it("knows the modules of every feature as the kernel writes them", () => {
    const modules = modulesOfFeatures();
    for (const name of [
      "nfnetlink",
      "nf_tables",
      "nft_compat",
      "xt_owner",
      "xt_TPROXY",
      "nft_tproxy",
      "nft_ct",
      "xt_CT",
    ]) {
      assert.ok(modules.includes(name), name);
    }
    for (const name of modules) assert.match(name, /^[A-Za-z0-9_]+$/);
  });
});

describe("neededRights()", () => {
  const words = (env: Readonly<Record<string, string>>) => neededRights(settingsOf(env)).map(wordsOfRight);
  const always = ["list pods", "watch pods", "get pods"];
  const more = ["create events", "patch events", "get daemonsets.apps istio-system/istio-cni-node"];

  it("asks in sidecar mode for pods, Events and our own DaemonSet", () =>
    assert.deepEqual(words({}), [...always, ...more]));

  it("asks in ambient mode for namespaces and for the annotation too", () => {
    const ofAmbient = ["list namespaces", "watch namespaces", "get namespaces", "patch pods/status"];
    assert.deepEqual(words({ AMBIENT_ENABLED: "true" }), [...always, ...ofAmbient, ...more]);
  });

  it("asks for what the chosen way of repair does, and only for that", () => {
    const none = { REPAIR_REPAIR_PODS: "false" };
    assert.deepEqual(words({ ...none, REPAIR_DELETE_PODS: "true", REPAIR_LABEL_PODS: "true" }), [
      ...always,
      "delete pods",
      ...more,
    ]);
    assert.deepEqual(words({ ...none, REPAIR_LABEL_PODS: "true" }), [...always, "patch pods/status", ...more]);
    assert.deepEqual(words({ REPAIR_ENABLED: "false", REPAIR_DELETE_PODS: "true" }), [...always, ...more]);
    assert.deepEqual(words({ POD_NAMESPACE: "" }), [...always, ...more.slice(0, 2)]);
  });
});
