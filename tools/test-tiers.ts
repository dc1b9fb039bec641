// Where the tests of each tier lie (DESIGN 5).

/** Decisions, services against simulators, the test bed's own parts. */
export const UNIT_TESTS = ["src/**/*.test.ts", "tools/**/*.test.ts", "testbed/**/*.test.ts", "bench/**/*.test.ts"];

/** The compiled C programs against scripted peers. */
export const PROGRAM_TESTS = ["plugin/**/*.test.ts", "launcher/**/*.test.ts"];

/** Real network namespaces, real containerd, a real API server; as root on Linux. */
export const SYSTEM_TESTS = ["test/kernel/*.test.ts", "test/runtime/*.test.ts", "test/cluster/*.test.ts"];
