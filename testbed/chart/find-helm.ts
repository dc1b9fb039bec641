// The helm that the chart is tested with: one the machine has, the shared lab's, or one built from the Go module proxy.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { mustRun } from "../node/command.ts";
import { REPOSITORY } from "../node/repository.ts";

/** What is built where there is none; the shared lab has the same. */
const HELM_MODULE = "helm.sh/helm/v3/cmd/helm@v3.21.0";
/** At low priority on a busy machine of two cores it takes more than a quarter of an hour. */
const BUILD_TIMEOUT_MS = 3_600_000;

/** Path of a helm, made at first use: HELM, one on the PATH, the shared lab's, one built by go.
 * @throws {Error} with a sentence that says what is missing. */
export function findHelm(): Promise<string> {
  found ??= find(process.env);
  return found;
}

let found: Promise<string> | undefined;

async function find(env: Readonly<Record<string, string | undefined>>): Promise<string> {
  const { HELM: named = "", SHARED_LAB: lab = "", PATH: path = "" } = env;
  if (named !== "") {
    if (existsSync(named)) return named;
    throw new Error(`Cannot test the chart: HELM names ${named}, which does not exist`);
  }
  const onPath = path.split(delimiter).map((folder) => join(folder, "helm"));
  const present = onPath.find((each) => existsSync(each));
  if (present !== undefined) return present;
  const packed = join(resolve(lab === "" ? join(REPOSITORY, "../shared/lab") : lab), "programs/helm.zst");
  if (existsSync(packed)) return unpack(packed);
  if (path.split(delimiter).some((folder) => existsSync(join(folder, "go")))) return build();
  throw new Error(
    "Cannot test the chart: there is no helm. Provide one by HELM or on the PATH, the shared lab's folder by SHARED_LAB " +
      `(${packed} does not exist), or go on the PATH, which builds one in minutes, once`,
  );
}

function unpack(packed: string): string {
  const helm = join(REPOSITORY, ".cache/helm/helm");
  if (existsSync(helm)) return helm;
  const unfinished = `${helm}.${process.pid}`;
  mkdirSync(join(helm, ".."), { recursive: true });
  writeFileSync(unfinished, zstdDecompressSync(readFileSync(packed)), { mode: 0o755 });
  renameSync(unfinished, helm);
  return helm;
}

async function build(): Promise<string> {
  const folder = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "istio-install-cni");
  const helm = join(folder, HELM_MODULE.replaceAll("/", "+"), "helm");
  if (existsSync(helm)) return helm;
  const unfinished = join(folder, `helm.${process.pid}`);
  mkdirSync(unfinished, { recursive: true });
  const env = { CGO_ENABLED: "0", GOFLAGS: "-trimpath", GOBIN: unfinished };
  // Of several that come at once, the others find most of it done.
  const locked = ["flock", "--close", join(folder, "helm.lock"), "nice", "-n", "19"];
  await mustRun([...locked, "go", "install", HELM_MODULE], { timeoutMs: BUILD_TIMEOUT_MS, env });
  mkdirSync(join(helm, ".."), { recursive: true });
  renameSync(join(unfinished, "helm"), helm);
  rmSync(unfinished, { recursive: true, force: true });
  return helm;
}
