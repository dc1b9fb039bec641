/**
 * `install-cni doctor`: the node's preflight. Looks at everything the agent needs and says of each thing how it is, why it
 * matters and what to do. Works with and without an agent, changes nothing on the host, and ends in time.
 */

import type { AgentConfig } from "../../core/config/agent-config.ts";
import { ConfigError } from "../../core/config/config-error.ts";
import { resolveConfig } from "../../core/config/resolve-config.ts";
import { DIAGNOSIS, type DOCTOR_EXIT_CODES, diagnose, exitCodeOf } from "../../core/doctor/diagnosis.ts";
import type { AgentFacts, NodeFacts } from "../../core/doctor/node-facts.ts";
import { renderDiagnosis } from "../../core/doctor/render-diagnosis.ts";
import { messageOf } from "../../core/error-message.ts";
import { STATUS_DOCUMENT } from "../../core/status/status-document.ts";
import { renderJson } from "../../core/text-columns.ts";
import { firstExisting } from "../../platform/fs/existing-path.ts";
import { askOverUnix, UnixRequestError } from "../../platform/http/unix-client.ts";
import { buildInfo } from "../build-info.ts";
import { gatherApi, nodeNameOf } from "../doctor/api-facts.ts";
import {
  gatherCni,
  gatherFolders,
  gatherListening,
  gatherMounts,
  gatherProcesses,
  gatherRights,
  withHostNames,
} from "../doctor/host-facts.ts";
import { gatherKernel } from "../doctor/kernel-facts.ts";
import type { OptionFlags } from "../flags.ts";
import { adminSocketPath } from "../paths.ts";

export interface DoctorInput {
  readonly flags: OptionFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: "text" | "json";
  readonly hasColours: boolean;
  /** Try the kernel's features although that may load its modules. */
  readonly mayLoadModules: boolean;
}

export interface DoctorOutcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: (typeof DOCTOR_EXIT_CODES)[keyof typeof DOCTOR_EXIT_CODES];
}

const AGENT_TIMEOUT_MS = 5000;
const AGENT_MAX_BYTES = 64 * 1024 * 1024;
/** What says where things are; looked at also where other options are wrong. */
const FOLDER_VARIABLES = ["MOUNTED_CNI_NET_DIR", "CNI_NET_DIR", "CNI_BIN_DIR", "CNI_AGENT_RUN_DIR"] as const;

/** Never rejects but for programmer errors: what cannot be found out is a finding. */
export async function doctor(input: DoctorInput): Promise<DoctorOutcome> {
  const facts = await gatherFacts(input);
  const diagnosis = diagnose(facts);
  return {
    stdout: input.output === "json" ? renderJson(DIAGNOSIS.read(diagnosis, "")) : renderDiagnosis(diagnosis, input),
    stderr: "",
    exitCode: exitCodeOf(diagnosis),
  };
}

async function gatherFacts({ flags, env, mayLoadModules }: DoctorInput): Promise<NodeFacts> {
  const wallMs = Date.now();
  const isContainer =
    firstExisting(["/host/proc", "/host/etc", "/host/opt"]) !== undefined ||
    (env["KUBERNETES_SERVICE_HOST"] ?? "") !== "";
  const { problems, warnings, ...resolved } = resolve({ flags, env });
  const config = withHostNames(resolved.config, isContainer);
  const proc = isContainer ? "/host/proc" : "/proc";
  const needsProcesses = config.ambient.enabled || (config.repair.enabled && config.repair.repairPods);
  const [agent, folders, mounts, cni, processes, listening, api] = await Promise.all([
    findAgent(config.install.runDir),
    gatherFolders(config, needsProcesses ? proc : undefined),
    gatherMounts(),
    gatherCni(config),
    gatherProcesses(proc),
    gatherListening(),
    gatherApi({ config, userAgent: `istio-install-cni/${buildInfo.version} doctor` }),
  ]);
  // These enter network namespaces, one after the other and with nothing else under way.
  const rights = await gatherRights();
  const hostRoot = isContainer ? firstExisting(["/host/proc/1/root/"]) : "";
  const kernel = await gatherKernel({ config, agent, hostRoot, mayLoadModules, netns: rights.netns });
  return {
    wallMs,
    version: buildInfo.version,
    nodeName: nodeNameOf(config),
    settings: config,
    configProblems: problems,
    configWarnings: warnings,
    isContainer,
    kernel,
    rights,
    mounts,
    folders,
    cni,
    api,
    agent,
    listening,
    processes,
  };
}

/** The agent's configuration; where it would refuse it, the defaults with the folders as given, and why. */
function resolve({ flags, env }: Pick<DoctorInput, "flags" | "env">): {
  readonly config: AgentConfig;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
} {
  try {
    const { config, warnings } = resolveConfig({ flags, env });
    return { config, problems: [], warnings };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.message.split("\n");
    const folders = Object.fromEntries(FOLDER_VARIABLES.map((name) => [name, env[name]]));
    for (const given of [folders, {}]) {
      try {
        return { config: resolveConfig({ flags: new Map(), env: given }).config, problems, warnings: [] };
      } catch (again) {
        if (!(again instanceof ConfigError)) throw again;
      }
    }
    throw error;
  }
}

async function findAgent(runDir: string): Promise<AgentFacts> {
  try {
    const options = { timeoutMs: AGENT_TIMEOUT_MS, maxBytes: AGENT_MAX_BYTES };
    const { status, body } = await askOverUnix(adminSocketPath(runDir), "/status", options);
    if (status !== 200) return { kind: "unreachable", reason: `the agent answered ${status}` };
    return { kind: "answers", status: STATUS_DOCUMENT.read(JSON.parse(body), "") };
  } catch (error) {
    const isAbsent = error instanceof UnixRequestError && (error.code === "no-socket" || error.code === "no-listener");
    return isAbsent
      ? { kind: "absent", reason: `nobody listens at ${adminSocketPath(runDir)}` }
      : { kind: "unreachable", reason: messageOf(error) };
  }
}
