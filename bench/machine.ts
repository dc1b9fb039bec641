// Where a run was made: without this its numbers mean nothing. Responsible for naming the machine, not for judging it.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { REPOSITORY } from "../testbed/node/repository.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly memoryGib: number;
  readonly versions: Readonly<Record<string, string>>;
  /** Of this checkout; "+" at the end: with changes. */
  readonly revision: string;
}

/** "unknown" stands for what this machine does not tell. */
export function describeMachine(): Machine {
  const firstLine = (...argv: readonly string[]): string => tell(argv).split("\n")[0]?.trim() || "unknown";
  const changes = tell(["git", "-C", REPOSITORY, "status", "--porcelain", "--untracked-files=no"]);
  return {
    cpu: parseCpuModel(readFileSync("/proc/cpuinfo", "utf8")),
    cores: cpus().length,
    kernel: release(),
    memoryGib: Math.round((totalmem() / 1024 ** 3) * 10) / 10,
    versions: {
      node: process.version,
      containerd: firstLine("containerd", "--version"),
      runc: firstLine("runc", "--version"),
      iptables: firstLine("iptables", "--version"),
    },
    revision: firstLine("git", "-C", REPOSITORY, "rev-parse", "--short=12", "HEAD") + (changes === "" ? "" : "+"),
  };
}

/** The load of the last minute: what else the machine was doing. */
export function readLoad(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

/** The model of the first processor; arm64 kernels do not name one. */
export function parseCpuModel(cpuinfo: string): string {
  return /^model name\s*:\s*(.+)$/m.exec(cpuinfo)?.[1]?.trim() ?? "unknown";
}

/** A name for files: model and cores, in lower case, joined by hyphens. */
export function renderMachineName({ cpu, cores }: Pick<Machine, "cpu" | "cores">): string {
  return `${cpu}-${cores}-cores`
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 60);
}

function tell([file = "", ...args]: readonly string[]): string {
  try {
    const env = { ...process.env, LC_ALL: "C" };
    return execFileSync(file, args, { encoding: "utf8", timeout: 10_000, stdio: ["ignore", "pipe", "ignore"], env });
  } catch {
    return "";
  }
}
