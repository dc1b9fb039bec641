import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type CgroupFacts, parseCgroup } from "./cgroup-text.ts";

const FOLDER = join(import.meta.dirname, "testdata/cgroup");
const POD = "4e6ff34a-f8d8-4bdf-8b0b-1f945827ce99";
const CONTAINER = "0f552b87ec46483d405433894b4abaaef3ed64d8bc819f2a2c52500a5fe720eb";

const of = (podUids: readonly string[], facts: Partial<CgroupFacts> = {}): CgroupFacts => ({
  podUids,
  containerId: CONTAINER,
  isMonitor: false,
  isKata: false,
  ...facts,
});

const EXPECTED: Readonly<Record<string, CgroupFacts>> = {
  "captured-containerd-1.6-v1": of(["e4bbfe85-22dc-431c-ba41-8f2ab33900b1"], {
    containerId: "fc9f73e4d8708571d65511ab99b9580ca09b79ba685285dbd3a888ed7d2d8feb",
  }),
  "cgroup-namespace-cgroupfs": of([POD]),
  "cgroup-namespace-same-pod": of([]),
  "cgroup-namespace-systemd": of([POD]),
  "containerd-cgroupfs-v1-guaranteed": of([POD]),
  "containerd-cgroupfs-v2": of([POD]),
  "containerd-mixed-drivers-v1": of([POD]),
  "containerd-systemd-v1": of([POD]),
  "containerd-systemd-v2": of([POD]),
  "contradiction-v1": of([POD, "11111111-2222-3333-4444-555555555555"]),
  "crio-conmon-in-pod-slice": of([POD], { isMonitor: true }),
  "crio-conmon-in-system-slice": of([], { isMonitor: true }),
  "crio-crun-v2": of([POD]),
  "crio-systemd-v2": of([POD]),
  "crio-without-pod": of([]),
  "docker-alone-v2": of([]),
  "docker-cgroupfs-v1": of([POD]),
  "docker-systemd-v1": of([POD]),
  "init-v1": of([], { containerId: undefined }),
  "kata-in-pod-v2": of([POD], { isKata: true }),
  "kata-overhead-v2": of([], { isKata: true }),
  "kind-systemd-inside-v2": of([POD]),
  "pod-that-names-another-deeper": of([POD]),
  "static-pod-v2": of(["9f86d081884c7d659a2feaa0c55ad015"]),
};

test("every recorded layout of cgroups has an expectation", () => {
  const recorded = readdirSync(FOLDER).map((name) => name.replace(/\.txt$/, ""));
  assert.deepEqual(recorded.toSorted(), Object.keys(EXPECTED).toSorted());
});

for (const [layout, expected] of Object.entries(EXPECTED)) {
  test(`parseCgroup() reads the layout ${layout}`, () => {
    assert.deepEqual(parseCgroup(readFileSync(join(FOLDER, `${layout}.txt`), "utf8")), expected);
  });
}

test("parseCgroup() takes no part of a longer word for a pod", () => {
  for (const path of [
    "/tripod4e6ff34a-f8d8-4bdf-8b0b-1f945827ce99/x",
    "/pod4e6ff34a-f8d8-4bdf-8b0b-1f945827ce99a/x",
    "/pod4e6ff34a/f8d8/4bdf/8b0b/1f945827ce99",
    "/pod/4e6ff34a-f8d8-4bdf-8b0b-1f945827ce99",
  ]) {
    assert.deepEqual(parseCgroup(`0::${path}\n`).podUids, [], path);
  }
});

test("parseCgroup() is total on text that is none", () => {
  for (const text of ["", "\n", ":", "::", "a:b", "\0\0\0", "0::", "x".repeat(200_000)]) {
    assert.deepEqual(parseCgroup(text), of([], { containerId: undefined }));
  }
});
