// A pod as records tell of it, for tests and the fuzzer.
import type { RecordedPod } from "./pod-record.ts";

export const SAMPLE_RECORDED_POD: RecordedPod = {
  podUid: "7c7a6a8e-5bd6-4b0e-9a51-0d9a5d5c2f11",
  podNamespace: "shop",
  podName: "web-0",
  containerId: "c0ffee",
  netns: { dev: 4n, ino: 4_026_532_299n, cookie: 2n ** 63n },
  bootId: "2b6a9a43-7d5f-4c0f-8d2c-0c9f9e3d3a10",
  decidedBy: "add",
  wasInPlace: true,
  decidedAtMs: 1_790_000_000_000,
};
