// The folders that are shared with the host: there, the host's own, writable, and with room.

import { mountOf, mountsInside, sourceOf } from "../mount-info.ts";
import { type CheckOutcome, type CheckRow, fail, notApplicable, ok, unknown, warn } from "./check.ts";
import { type FolderFacts, type FolderRole, knownOf, type NodeFacts } from "./node-facts.ts";

const NAMES: Readonly<Record<FolderRole, string>> = {
  conf: "the CNI configuration folder",
  bin: "the plugin folder",
  run: "the run directory",
  proc: "the host's /proc",
  ztunnel: "the folder of ztunnel's socket",
};

const MIB = 1 << 20;
/** A conflist and a plugin have to fit, beside the ones they replace. */
const NO_SPACE_BYTES = 2 * MIB;
const LITTLE_SPACE_BYTES = 64 * MIB;
const NO_INODES = 16;
const LITTLE_INODES = 1000;

export const FOLDER_CHECKS: readonly CheckRow[] = [
  {
    id: "folders.conf",
    meaning: "The plugin gets into the runtime's chain through the host's CNI configuration folder.",
    complaints: ["#51121", "#54112", "#58094", "#54865", "#47436"],
    decide: (facts) => decideFolder(facts, "conf", "CNI_NET_DIR or MOUNTED_CNI_NET_DIR"),
  },
  {
    id: "folders.bin",
    meaning: "The runtime executes the plugin from the host's plugin folder.",
    complaints: ["#51121", "#54112", "#50072"],
    decide(facts) {
      const outcome = decideFolder(facts, "bin", "CNI_BIN_DIR");
      if (outcome.result !== "ok") return outcome;
      const mounts = knownOf(facts.mounts) ?? [];
      const shut = of(facts, "bin").find(
        ({ found }) => found !== undefined && mountOf(mounts, found.realPath)?.options.has("noexec") === true,
      );
      return shut?.found === undefined
        ? outcome
        : fail(
            `${shut.found.path} is mounted noexec: the runtime cannot execute the plugin there`,
            "Take the folder that the runtime really uses (bin_dir of containerd, plugin_dirs of CRI-O), or mount it without noexec",
          );
    },
  },
  {
    id: "folders.run",
    meaning:
      "Plugin and agent meet at a socket in the run directory, which has to be one folder on the host and in the container.",
    complaints: ["#60668", "#60721"],
    decide(facts) {
      const outcome = decideFolder(facts, "run", "CNI_AGENT_RUN_DIR");
      const [run] = of(facts, "run");
      const mounts = knownOf(facts.mounts);
      if (run?.found === undefined || mounts === undefined || !facts.isContainer) return outcome;
      const { path, realPath } = run.found;
      const mount = mountOf(mounts, realPath);
      const next = `Mount the host's ${path} at ${path}: a hostPath volume, the same path on both sides`;
      if (mount === undefined || mount.point === "/") {
        return fail(`${path} is not mounted from the host: plugins on the host cannot reach the agent`, next);
      }
      const source = sourceOf(mount, realPath);
      const name = realPath.slice(realPath.lastIndexOf("/"));
      return source.endsWith(name) || outcome.result === "fail"
        ? outcome
        : warn(`${path} is ${source} of a file system of the host, where the plugin may not look`, next);
    },
  },
  {
    id: "folders.rename",
    meaning: "Files are replaced by renaming; an entry that is a mount of its own can be read but not replaced.",
    complaints: ["#44167"],
    decide(facts) {
      const mounts = knownOf(facts.mounts);
      if (mounts === undefined) return unknown("the mounts cannot be read");
      const folders = [...of(facts, "conf"), ...of(facts, "bin")].flatMap(({ found }) => found?.realPath ?? []);
      if (folders.length === 0) return unknown("there is no folder to look into");
      const inside = folders.flatMap((folder) => mountsInside(mounts, folder).map(({ point }) => point));
      return inside.length === 0
        ? ok("no entry of the CNI folders is a mount of its own")
        : warn(
            `mounts of their own: ${inside.slice(0, 5).join(", ")}`,
            "Mount the whole folder, not single files of it",
          );
    },
  },
  {
    id: "folders.proc",
    meaning: "The node's processes lead to the namespaces of pods that started without the plugin.",
    complaints: ["#55139"],
    decide(facts) {
      const [proc] = of(facts, "proc");
      if (proc === undefined) return notApplicable("nothing here looks through the node's processes");
      const next = "Mount the host's /proc at /host/proc, read-only";
      if (proc.found === undefined) return fail(`${proc.candidates.join(", ")} is not there`, next);
      const mounts = knownOf(facts.mounts);
      const type = mounts === undefined ? undefined : mountOf(mounts, proc.found.realPath)?.type;
      return type === undefined || type === "proc"
        ? ok(`${proc.found.path} is there`)
        : fail(`${proc.found.path} is a file system of type ${type}, not proc`, next);
    },
  },
  {
    id: "folders.ztunnel",
    meaning: "ztunnel connects to a socket in a folder that its pod and ours share on the host.",
    complaints: ["#53843", "#54544"],
    decide(facts) {
      if (of(facts, "ztunnel").length === 0) return notApplicable("only ambient mode has a ztunnel");
      const outcome = decideFolder(facts, "ztunnel", "ZTUNNEL_UDS_ADDRESS");
      const path = of(facts, "ztunnel")[0]?.found?.realPath;
      const mounts = knownOf(facts.mounts);
      if (outcome.result !== "ok" || path === undefined || mounts === undefined || !facts.isContainer) return outcome;
      return (mountOf(mounts, path)?.point ?? "/") === "/"
        ? fail(`${path} is not mounted from the host: ztunnel cannot connect`, `Mount the host's ${path} at ${path}`)
        : outcome;
    },
  },
  {
    id: "folders.space",
    meaning: "A full disk or a file system without inodes leaves the old plugin and configuration in place.",
    complaints: ["#44167"],
    decide(facts) {
      const outcomes: CheckOutcome[] = [];
      for (const { role, found } of facts.folders) {
        if (found === undefined || role === "proc") continue;
        if ("unknown" in found.space) {
          outcomes.push(unknown(`the room in ${found.path} cannot be told: ${found.space.unknown}`));
          continue;
        }
        const { freeBytes, freeInodes, totalInodes } = found.space.value;
        const hasInodes = totalInodes > 0;
        const words = `${found.path} has ${Math.floor(freeBytes / MIB)} MiB${hasInodes ? ` and ${freeInodes} inodes` : ""} free`;
        const next = "Make room on the node's disk";
        if (freeBytes < NO_SPACE_BYTES || (hasInodes && freeInodes < NO_INODES)) outcomes.push(fail(words, next));
        else if (freeBytes < LITTLE_SPACE_BYTES || (hasInodes && freeInodes < LITTLE_INODES))
          outcomes.push(warn(words, next));
        else outcomes.push(ok(words));
      }
      const worst = (["fail", "warn", "unknown", "ok"] as const).flatMap((result) =>
        outcomes.filter((outcome) => outcome.result === result),
      )[0];
      return worst ?? unknown("there is no folder to look into");
    },
  },
];

function of({ folders }: NodeFacts, role: FolderRole): readonly FolderFacts[] {
  return folders.filter((folder) => folder.role === role);
}

/** There, a folder, writable; in a container also the host's. The first that is not. */
function decideFolder(facts: NodeFacts, role: FolderRole, option: string): CheckOutcome {
  const folders = of(facts, role);
  const what = NAMES[role];
  if (folders.length === 0) return unknown(`${what} was not looked at`);
  for (const { candidates, found } of folders) {
    if (found === undefined) {
      const nobodyMade = role === "run" && facts.agent.kind !== "answers" && !facts.isContainer;
      if (nobodyMade) return notApplicable(`${candidates[0] ?? "/"} is not there: no agent has run on this node`);
      return fail(
        `${what} is not there: ${candidates.join(", nor ")}`,
        `Mount it there, or name the folder that this node uses by ${option}`,
      );
    }
    if (!found.isFolder) return fail(`${found.path} is no folder`, `Name the folder by ${option}`);
    if ("unknown" in found.isWritable)
      return unknown(`whether ${found.path} is writable cannot be told: ${found.isWritable.unknown}`);
    if (!found.isWritable.value) {
      const mounts = knownOf(facts.mounts) ?? [];
      const isReadOnly = mountOf(mounts, found.realPath)?.options.has("ro") === true;
      return fail(
        `${found.path} is not writable${isReadOnly ? ": it is mounted read-only" : ""}`,
        isReadOnly
          ? "Mount it without readOnly; on hosts with a read-only system, name another folder"
          : "Grant DAC_OVERRIDE, or run as root",
      );
    }
  }
  return ok(`${folders.map(({ found }) => found?.path).join(", ")}: there and writable`);
}
