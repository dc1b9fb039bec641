// Where the tests of each tier lie (DESIGN 5).

/** Decisions, services against simulators, the test bed's own parts. Anywhere, in seconds. */
export const UNIT_TESTS = [
  "src/**/*.test.ts",
  "tools/**/*.test.ts",
  "testbed/**/*.test.ts",
  "bench/**/*.test.ts",
  "docs/**/*.test.ts",
  "dashboards/**/*.test.ts",
  "image/**/*.test.ts",
  "test/cluster/api-stand-in.test.ts",
];

/** The compiled C programs against scripted peers, and a minute of fuzzing of theirs and the agent's readers. */
export const PROGRAM_TESTS = ["plugin/**/*.test.ts", "launcher/**/*.test.ts", "test/fuzz/*.test.ts"];

/** Real network namespaces and the kernel's own tools; root on Linux. */
export const KERNEL_TESTS = ["test/kernel/*.test.ts"];

/** Real containerd, runc and network plugins; root on Linux. */
export const RUNTIME_TESTS = ["test/runtime/*.test.ts"];

/** A real Kubernetes: KUBECONFIG, or the shared lab beside the checkout; root on Linux. */
export const CLUSTER_TESTS = [
  // Need helm only, which the lab has.
  "test/chart/*.test.ts",
  "test/cluster/ambient.test.ts",
  "test/cluster/api-stand-in-recorded.test.ts",
  "test/cluster/chart.test.ts",
  "test/cluster/documents.test.ts",
  "test/cluster/sidecar.test.ts",
  "test/cluster/upstream-chart.test.ts",
  "test/cluster/upstream-upgrade.test.ts",
  "test/cluster/watch.test.ts",
];

/** What `make images` leaves, in containers and by other people's tools; root on Linux. */
export const IMAGE_TESTS = ["test/image/*.test.ts"];
