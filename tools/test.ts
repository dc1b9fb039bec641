// Everything `make test` promises: the gate's checks, then all tiers in one run, so that the summary at the end counts
// all of them. A tier that cannot run fails and says why. Only the cluster tier needs what a machine by itself cannot have:
// where there is no cluster it is left out and that is said, unless REQUIRE_CLUSTER=1 (as in CI) or it was asked for.
// The image tier builds the images first, and the runtime tier, which has no way out of its namespaces, fetches what it needs.
// Usage: tools/node tools/test.ts [unit|programs|kernel|runtime|image|cluster …]; without arguments all.
import { findCluster } from "../testbed/cluster/find-cluster.ts";
import { execute, runGate, runStep } from "./gate.ts";
import { hasPassed, runTests } from "./run-tests.ts";
import { CLUSTER_TESTS, IMAGE_TESTS, KERNEL_TESTS, PROGRAM_TESTS, RUNTIME_TESTS, UNIT_TESTS } from "./test-tiers.ts";

const TIERS: Readonly<Record<string, readonly string[]>> = {
  unit: UNIT_TESTS,
  programs: PROGRAM_TESTS,
  kernel: KERNEL_TESTS,
  runtime: RUNTIME_TESTS,
  image: IMAGE_TESTS,
  cluster: CLUSTER_TESTS,
};
const ROOT_TIERS = ["programs", "kernel", "runtime", "image", "cluster"];

process.exitCode = await main(process.argv.slice(2));

async function main(asked: readonly string[]): Promise<number> {
  const unknown = asked.filter((tier) => !Object.hasOwn(TIERS, tier));
  if (unknown.length > 0) {
    console.error(`test: no tier ${unknown.join(", ")}; there are ${Object.keys(TIERS).join(", ")}`);
    return 2;
  }
  const tiers = asked.length === 0 ? Object.keys(TIERS) : asked;
  if (process.getuid?.() !== 0 && tiers.some((tier) => ROOT_TIERS.includes(tier))) {
    console.error(`test: ${ROOT_TIERS.join(", ")} make namespaces and run containerd, which needs root`);
    return 1;
  }
  const cluster = findCluster();
  const isClusterWanted = asked.includes("cluster") || process.env["REQUIRE_CLUSTER"] === "1";
  const leftOut =
    tiers.includes("cluster") && cluster.kind === "none" && !isClusterWanted
      ? `test: the cluster tier is left out. ${cluster.reason}`
      : undefined;
  const run = tiers.filter((tier) => tier !== "cluster" || leftOut === undefined);
  console.log(`test: the gate, then the tiers ${run.join(", ")}`);
  if (leftOut !== undefined) console.log(leftOut);
  const prepared = [runGate(), buildImages(run), fetchPromtool(run)];
  const patterns = run.flatMap((tier) => TIERS[tier] ?? []);
  const passed = [...prepared, hasPassed(await runTests(patterns, 2))];
  // Once more where people look in the end.
  if (leftOut !== undefined) console.log(leftOut);
  return passed.every((ok) => ok) ? 0 : 1;
}

function buildImages(tiers: readonly string[]): boolean {
  return !tiers.includes("image") || runStep("images", () => execute(["tools/node", "image/build-images.ts"]));
}

function fetchPromtool(tiers: readonly string[]): boolean {
  return !tiers.includes("runtime") || runStep("promtool", () => execute(["tools/promtool", "--version"]));
}
