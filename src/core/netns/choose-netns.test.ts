import assert from "node:assert/strict";
import { test } from "node:test";
import {
  chooseNetns,
  type NetnsCandidate,
  type NetnsPod,
  type NetnsProcess,
  refuseSharedNetns,
} from "./choose-netns.ts";
import { podUidKey } from "./pod-uid.ts";

const UID = "4e6ff34a-f8d8-4bdf-8b0b-1f945827ce99";
const OTHER = "11111111-2222-3333-4444-555555555555";

function pod(changes: Partial<NetnsPod> = {}): NetnsPod {
  return {
    uid: UID,
    namespace: "shop",
    name: "web",
    annotations: {},
    podIps: ["10.0.0.5", "fd00::5"],
    hostNetwork: false,
    phase: "Running",
    ...changes,
  };
}

function proc(startTime: number, uid: string | undefined, changes: Partial<NetnsProcess> = {}): NetnsProcess {
  const podUids = uid === undefined ? [] : [podUidKey(uid)];
  const known = { containerId: undefined, isMonitor: false, isKata: false, exe: undefined };
  return { pid: startTime, startTime, comm: "pause", podUids, ...known, ...changes };
}

function netns(
  ino: bigint,
  ips: readonly string[],
  processes: readonly NetnsProcess[],
  isNamed = false,
): NetnsCandidate {
  return { dev: 4n, ino, isNamed, ips: new Set(ips), processes };
}

const HOST = { dev: 4n, ino: 1n };
const choose = (candidates: readonly NetnsCandidate[], of = pod()) => chooseNetns(of, candidates, [HOST]);
function chosen(candidates: readonly NetnsCandidate[], of = pod()): bigint | string {
  const choice = choose(candidates, of);
  if (choice.kind === "found") return choice.netns.ino;
  return choice.kind === "not-found" ? choice.reason : choice.kind;
}

test("chooseNetns() takes the namespace whose processes are the pod's and which holds its address", () => {
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, UID)]), netns(3n, ["10.0.0.6"], [proc(2, OTHER)])]), 2n);
});

test("chooseNetns() is content with any of the pod's addresses, mapped ones too", () => {
  assert.equal(chosen([netns(2n, ["fd00::5"], [proc(1, UID)])]), 2n);
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, UID)])], pod({ podIps: ["::ffff:10.0.0.5"] })), 2n);
});

test("chooseNetns() never takes the node's namespace, whatever it holds and runs", () => {
  assert.equal(chosen([netns(1n, ["10.0.0.5"], [proc(1, UID)], true)]), "no-process");
});

test("chooseNetns() takes no namespace without the pod's address", () => {
  const choice = choose([netns(2n, ["10.0.0.9"], [proc(1, UID)])]);
  assert.equal(choice.kind === "not-found" && choice.reason, "address-missing");
  assert.match(
    choice.kind === "not-found" ? choice.message : "",
    /pod shop\/web: its processes run in net:\[2\], which does not hold 10\.0\.0\.5, fd00::5/,
  );
});

test("chooseNetns() takes no namespace in which another pod's processes run", () => {
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, OTHER)])]), "held-by-another-pod");
});

test("chooseNetns() is not misled by a process of another pod that entered the namespace", () => {
  const both = netns(2n, ["10.0.0.5"], [proc(1, OTHER), proc(2, UID)]);
  assert.equal(chosen([both]), 2n);
  assert.equal(chosen([both], pod({ uid: OTHER, podIps: ["10.0.0.6"] })), "address-missing");
});

test("chooseNetns() takes a namespace whose processes name no pod by its address alone", () => {
  const choice = choose([netns(2n, ["10.0.0.5"], [proc(1, undefined)])]);
  assert.equal(choice.kind === "found" && choice.by, "ip");
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [], true)]), 2n);
});

test("chooseNetns() refuses when two namespaces that name no pod hold the address", () => {
  const choice = choose([netns(2n, ["10.0.0.5"], [proc(1, undefined)]), netns(3n, ["10.0.0.5"], [proc(2, undefined)])]);
  assert.equal(choice.kind, "ambiguous");
  assert.match(choice.kind === "ambiguous" ? choice.message : "", /2 hold its address: net:\[2\], net:\[3\]/);
});

test("chooseNetns() prefers the pod's own processes over an equal address elsewhere", () => {
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, undefined)]), netns(3n, ["10.0.0.5"], [proc(9, UID)])]), 3n);
});

test("chooseNetns() takes the oldest of several namespaces of one pod that hold its address", () => {
  const nested = netns(2n, ["10.0.0.5"], [proc(50, UID)]);
  assert.equal(chosen([nested, netns(3n, ["10.0.0.5"], [proc(7, UID), proc(60, UID)])]), 3n);
  assert.equal(chosen([nested, netns(3n, ["10.0.0.5"], [proc(50, UID)])]), "ambiguous");
});

test("chooseNetns() prefers the namespace that the runtime has a file for, however old its processes are", () => {
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, UID)]), netns(3n, ["10.0.0.5"], [proc(9, UID)], true)]), 3n);
});

test("chooseNetns() refuses when the pod's processes and the runtime's file disagree", () => {
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, UID)]), netns(3n, ["10.0.0.5"], [], true)]), "ambiguous");
});

test("chooseNetns() takes cgroups that contradict each other for no proof, and for no clean slate either", () => {
  const torn = proc(1, UID, { podUids: [podUidKey(UID), podUidKey(OTHER)] });
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [torn])]), "held-by-another-pod");
});

test("chooseNetns() does not count conmon as a process of the pod", () => {
  assert.equal(chosen([netns(2n, ["10.0.0.9"], [proc(1, UID, { isMonitor: true })])]), "no-process");
});

test("chooseNetns() finds a static pod by the hash that its cgroups carry", () => {
  const hash = "9f86d081884c7d659a2feaa0c55ad015";
  const mirror = pod({ annotations: { "kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash } });
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, hash)])], mirror), 2n);
});

test("chooseNetns() looks for no namespace of pods that have none", () => {
  const all = [netns(2n, ["10.0.0.5"], [proc(1, UID)])];
  assert.equal(chosen(all, pod({ hostNetwork: true })), "host-network");
  assert.equal(chosen(all, pod({ phase: "Succeeded" })), "finished");
  assert.equal(chosen(all, pod({ phase: "Failed" })), "finished");
  assert.equal(chosen(all, pod({ podIps: [] })), "no-ip-yet");
  assert.equal(chosen(all, pod({ podIps: ["no address"] })), "no-ip-yet");
  assert.equal(
    chosen([netns(2n, ["127.0.0.1", "fe80::1"], [])], pod({ podIps: ["127.0.0.1", "fe80::1"] })),
    "no-ip-yet",
  );
});

test("chooseNetns() says when a pod runs in a virtual machine or under gVisor", () => {
  const qemu = proc(1, UID, { comm: "qemu-system-x86", exe: "/opt/kata/bin/qemu-system-x86_64" });
  const runsc = proc(1, UID, { comm: "exe", exe: "/usr/local/bin/runsc (deleted)" });
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, undefined, { isKata: true })])]), "unsupported");
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [qemu])], pod({ runtimeClassName: "vm" })), "unsupported");
  assert.equal(chosen([netns(2n, [], [runsc])]), "unsupported");
  assert.equal(chosen([], pod({ runtimeClassName: "kata-qemu" })), "unsupported");
  assert.match(JSON.stringify(choose([], pod({ runtimeClassName: "gvisor" }))), /"runtime":"gvisor"/);
});

test("chooseNetns() takes an ordinary pod that runs qemu, or calls itself so, for an ordinary pod", () => {
  const qemu = proc(9, UID, { comm: "qemu-kvm" });
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [proc(1, UID), qemu])], pod({ runtimeClassName: "nvidia" })), 2n);
  assert.equal(chosen([netns(2n, ["10.0.0.5"], [qemu])]), 2n);
});

test("refuseSharedNetns() leaves a namespace to the one pod that its processes name, and to none otherwise", () => {
  const shared = netns(2n, ["10.0.0.5"], []);
  const [first, second] = [pod(), pod({ uid: OTHER, name: "late" })];
  const found = (by: "uid" | "ip") => ({ kind: "found", by, netns: shared }) as const;
  const kinds = (left: "uid" | "ip", right: "uid" | "ip") =>
    [
      ...refuseSharedNetns(
        new Map([
          [first, found(left)],
          [second, found(right)],
        ]),
      ).values(),
    ].map(({ kind }) => kind);
  assert.deepEqual(kinds("uid", "ip"), ["found", "ambiguous"]);
  assert.deepEqual(kinds("ip", "ip"), ["ambiguous", "ambiguous"]);
  assert.deepEqual(kinds("uid", "uid"), ["ambiguous", "ambiguous"]);
});
