/** Targets: text of /proc and of the kernel's modules (core/netns, core/doctor, platform). */

import { parseBuiltInModules, parseLoadedModules } from "../../../src/core/doctor/module-need.ts";
import {
  isFirstUserNamespace,
  parseFileLimit,
  parseListening,
  parseRelease,
  parseSeccomp,
  parseTokenTimes,
} from "../../../src/core/doctor/proc-texts.ts";
import { mountOf, mountsInside, parseMountInfo, sourceOf } from "../../../src/core/mount-info.ts";
import { parseCgroup } from "../../../src/core/netns/cgroup-text.ts";
import { parseCmdline, parseRealUid } from "../../../src/core/netns/kubelet-process.ts";
import { parseProcessStat } from "../../../src/core/netns/stat-text.ts";
import { missingCapabilities } from "../../../src/core/policy/needed-capabilities.ts";
import { parseCleanFileMappings } from "../../../src/platform/linux/trim-memory.ts";
import { bytesOf, createTarget, type FuzzTarget, textOf } from "../fuzz-target.ts";
import { mutateJson } from "../mutate-json.ts";
import { mutateText } from "../mutate-text.ts";
import { holds } from "../oracle.ts";

const UID = "7c7a6a8e-5bd6-4b0e-9a51-0d9a5d5c2f11";
const ID = "0123456789abcdef".repeat(4);
const MOUNTS = `24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 24 0:25 /x\\040y /host/etc/cni/net.d ro,nosuid master:2 - tmpfs tmpfs ro
31 24 0:26 / /a\\134b rw - overlay overlay rw,lowerdir=/x
`;
const STATUS = "Name:\tkubelet\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nSeccomp:\t2\n";

const finite = (value: number | undefined): boolean => value === undefined || !Number.isNaN(value);

const cgroup = createTarget(
  {
    name: "proc-cgroup",
    parsers: ["core/netns/cgroup-text.ts", "core/netns/pod-uid.ts"],
    mutators: [mutateText],
    words: [
      ":",
      "/",
      "pod",
      UID,
      UID.replaceAll("-", "_"),
      ID,
      ".slice",
      "kubepods-burstable-",
      "crio-",
      "crio-conmon-",
      "kata_overhead",
      "0::",
      "\n",
    ],
    seeds: [
      `0::/kubepods.slice/kubepods-pod${UID.replaceAll("-", "_")}.slice/cri-containerd-${ID}.scope\n`,
      `12:cpu:/kubepods/besteffort/pod${UID}/${ID}\n1:name=systemd:/kata_overhead/x\n`,
    ].map(bytesOf),
  },
  [],
  (input) => {
    const read = parseCgroup(textOf(input));
    holds(
      read.podUids.every((uid) => /^[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/.test(uid)),
      "A UID is 32 digits, dashes aside",
    );
    holds(read.containerId === undefined || /^[0-9a-f]{64}$/.test(read.containerId), "An id is 64 digits");
    return read;
  },
);

const processes = createTarget(
  {
    name: "proc-process",
    parsers: [
      "core/netns/stat-text.ts",
      "core/netns/kubelet-process.ts",
      "core/doctor/proc-texts.ts",
      "core/policy/needed-capabilities.ts",
    ],
    mutators: [mutateText],
    words: [
      "Uid:\t",
      "CapEff:\t",
      "Seccomp:\t",
      "ffffffffffffffff",
      "Max open files  ",
      "unlimited",
      "\t",
      ") S ",
      "(",
      "\0",
      "0A",
      ":",
    ],
    seeds: [
      bytesOf(`1 (a) b) S ${Array.from({ length: 48 }, (_, index) => index).join(" ")}\n`),
      bytesOf(STATUS),
      bytesOf(
        "Limit  Soft  Hard  Units\nMax open files            1024                 1048576              files     \n",
      ),
      bytesOf(
        "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0\n   1: 00000000000000000000000001000000:3AB8 0:0 0A\n",
      ),
      bytesOf("/usr/bin/kubelet\0--config=x\0\0"),
      bytesOf("         0          0 4294967295\n"),
      bytesOf("6.18.44-fc"),
    ],
  },
  [],
  (input) => {
    const text = textOf(input);
    const [stat, uid, limit, release] = [
      parseProcessStat(text),
      parseRealUid(text),
      parseFileLimit(text),
      parseRelease(text),
    ];
    holds(
      finite(stat?.startTime) && finite(uid) && finite(limit) && finite(release?.[0]),
      "Reads: a number that is none",
    );
    const listening = parseListening(text, text);
    holds(
      [...listening].every((port) => port >= 0 && port <= 0xffff),
      "Ports are ports",
    );
    return [
      stat,
      uid,
      limit,
      release,
      listening,
      parseSeccomp(text),
      isFirstUserNamespace(text),
      parseCmdline(text).length,
      missingCapabilities(text)?.length,
    ];
  },
);

const mounts = createTarget(
  {
    name: "proc-mounts",
    parsers: ["core/mount-info.ts", "core/doctor/module-need.ts"],
    mutators: [mutateText],
    words: [
      " - ",
      " ",
      "\\040",
      "\\",
      "\\777",
      "shared:",
      "/",
      "ro",
      ",",
      "\n",
      "kernel/net/nf_tables.ko",
      "nf_tables 1 - Live",
    ],
    seeds: [
      MOUNTS,
      "nf_tables 409600 1 nft_compat, Live 0x0\nip_set 1 0\n",
      "kernel/net/netfilter/nf-tables.ko\nkernel/x/y.ko\n",
    ].map(bytesOf),
  },
  [],
  (input) => {
    const text = textOf(input);
    const read = parseMountInfo(text);
    const mount = mountOf(read, "/host/etc/cni/net.d/a");
    if (mount !== undefined) holds(sourceOf(mount, "/host/etc/cni/net.d/a") !== "", "A source has a name");
    return [read, mountsInside(read, "/host").length, parseLoadedModules(text), parseBuiltInModules(text)];
  },
);

const smaps = createTarget(
  {
    name: "proc-smaps",
    parsers: ["platform/linux/trim-memory.ts"],
    mutators: [mutateText],
    words: [
      "Anonymous:             0 kB\n",
      "Private_Dirty:         0 kB\n",
      "7f00000-7f01000 r--p 00000000 08:01 1 /usr/bin/node\n",
      "r-xp",
      " /lib/x\n",
    ],
    seeds: [
      bytesOf(
        "7f0000000000-7f0000001000 r--p 00000000 08:01 12 /usr/bin/node\nSize: 4 kB\nPrivate_Dirty:         0 kB\nAnonymous:             0 kB\nVmFlags: rd mr\n",
      ),
    ],
  },
  [],
  (input) => {
    const read = parseCleanFileMappings(textOf(input));
    // What is no mapping of ours would be handed to madvise(2).
    holds(
      read.every(({ start, length }) => start >= 0n && start < 2n ** 64n && length > 0n && length < 2n ** 64n),
      "A mapping has a length",
    );
    return read;
  },
);

const token = createTarget(
  {
    name: "token-times",
    parsers: ["core/doctor/proc-texts.ts"],
    mutators: [mutateJson],
    words: ["exp", "nbf", "__proto__"],
    seeds: [bytesOf('{"exp":1790000000,"nbf":1780000000,"iss":"x"}')],
  },
  [],
  (input) => {
    const read = parseTokenTimes(textOf(input));
    holds(finite(read?.expiresAtMs) && finite(read?.notBeforeMs), "Reads: a number that is none");
    return read;
  },
);

export const PROC_TARGETS: readonly FuzzTarget[] = [cgroup, processes, mounts, smaps, token];
