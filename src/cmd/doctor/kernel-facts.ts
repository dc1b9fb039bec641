// What this kernel can do: by the word of the agent that runs, else by a trial in a namespace nobody uses. A trial that would
// load kernel modules is left out unless it is asked for.
import { release } from "node:os";
import { gatherBackendFacts } from "../../agent/netfilter/backend-facts.ts";
import { gatherHostProbeFacts } from "../../agent/netfilter/host-probe-facts.ts";
import type { AgentConfig } from "../../core/config/agent-config.ts";
import {
  HOST_PROBE_MODULES,
  type ModuleFacts,
  modulesToLoad,
  parseBuiltInModules,
  parseLoadedModules,
} from "../../core/doctor/module-need.ts";
import type { AgentFacts, KernelFacts, Probed, RulesFacts } from "../../core/doctor/node-facts.ts";
import {
  type BackendDecision,
  type BackendFacts,
  decideBackend,
  explainUnsupported,
} from "../../core/policy/backend-decision.ts";
import { type BackendDialect, describeMissing, modulesOfFeatures } from "../../core/policy/backend-features.ts";
import { decideHostDialect } from "../../core/policy/host-probe-backend.ts";
import { findProgram } from "../../platform/exec/find-program.ts";
import { hasLegacyTables } from "../../platform/exec/legacy-tables.ts";
import { firstExisting } from "../../platform/fs/existing-path.ts";
import { openNetlink } from "../../platform/linux/netlink-socket.ts";
import { createThrowawayNetns } from "../../platform/linux/throwaway-netns.ts";
import { readModuleTexts } from "../../platform/probe/kernel-modules.ts";
import { usualCaptures } from "../backend.ts";
import { HOST_PROBE_DEPS } from "../host-probe-deps.ts";
import { bounded } from "./bounded.ts";

const READ_MS = 3000;
/** Some 40 ms where the kernel is idle. */
const TRIAL_MS = 10_000;

export interface KernelOptions {
  readonly config: AgentConfig;
  readonly agent: AgentFacts;
  /** The host's file system as seen from here, "" for our own; undefined: it is not to be seen. */
  readonly hostRoot: string | undefined;
  readonly mayLoadModules: boolean;
  /** Whether a network namespace can be made to try in. */
  readonly netns: Probed<true>;
}

export async function gatherKernel(options: KernelOptions): Promise<KernelFacts> {
  const { config, agent, hostRoot, mayLoadModules, netns } = options;
  const modules = await bounded(READ_MS, async () => moduleFacts(await readModuleTexts(hostRoot)));
  const refusal = (wanted: readonly string[]): string | undefined => {
    if ("unknown" in netns) return "there is no network namespace to try it in, see rights.namespaces";
    if (mayLoadModules) return undefined;
    if ("unknown" in modules) return `whether it would load kernel modules is not known (${modules.unknown})`;
    const wouldLoad = modulesToLoad(wanted, modules.value);
    return wouldLoad.length === 0 ? undefined : `it may load kernel modules: ${wouldLoad.join(", ")}`;
  };
  const told = agent.kind === "answers" ? agent.status.backend : null;
  let dialect: BackendDialect | undefined = told === null ? undefined : dialectOf(told.dialect);
  let hasNfTables = true;
  let rules: Probed<RulesFacts>;
  if (told !== null) {
    rules = {
      value: {
        toldBy: "agent",
        isIncomplete: told.reason === "nothing-complete",
        message: told.message,
        missing: told.missing,
        hasUserNamespaces: told.dialectInUserNamespaces !== null,
      },
    };
  } else {
    const why = refusal(modulesOfFeatures());
    const tried = why === undefined ? await bounded(TRIAL_MS, () => tryRules(config)) : { unknown: why };
    rules = "unknown" in tried ? tried : { value: tried.value.facts };
    if ("value" in tried) {
      ({ dialect } = tried.value.decision);
      hasNfTables = tried.value.decision.nfTables;
    }
  }
  return {
    release: { value: release() },
    hasIpv6: firstExisting(["/proc/net/if_inet6"]) !== undefined,
    rules,
    hostProbes: config.ambient.enabled
      ? await tryHostProbes(config, dialect, hasNfTables, refusal([...modulesOfFeatures(), ...HOST_PROBE_MODULES]))
      : undefined,
  };
}

function tryRules(config: AgentConfig): { readonly decision: BackendDecision; readonly facts: RulesFacts } {
  const found = gatherBackendFacts({ openNetlink, createThrowawayNetns, hasLegacyTables, findProgram });
  const usual = usualCaptures(config);
  const decision = decideBackend(found, config.policy, usual);
  const { dialect, missing, message, userNamespaces } = decision;
  const facts: RulesFacts = {
    toldBy: "trial",
    isIncomplete:
      isAbsent(decision, found) || usual.some((capture) => explainUnsupported(decision, capture) !== undefined),
    message,
    missing: dialect === "iptables-legacy" ? [] : missing.map((feature) => describeMissing(feature, dialect)),
    hasUserNamespaces: userNamespaces !== undefined,
  };
  return { decision, facts };
}

/** A dialect the operator forced and this node does not have at all. */
function isAbsent({ dialect }: BackendDecision, { nfTables, legacy }: BackendFacts): boolean {
  return dialect === "iptables-legacy" ? legacy.missingPrograms.length > 0 : !nfTables.answers;
}

async function tryHostProbes(
  { ambient }: AgentConfig,
  dialect: BackendDialect | undefined,
  hasNfTables: boolean,
  refusal: string | undefined,
): Promise<Probed<string | undefined>> {
  if (refusal !== undefined) return { unknown: refusal };
  if (dialect === undefined) return { unknown: "how pods' rules are written is not known" };
  // Its programs make tables in the namespace they run in, and load modules for them.
  if (dialect === "iptables-legacy") return { unknown: "iptables legacy is not tried" };
  const host = { families: { v4: true, v6: ambient.ipv6 }, probeSource: ambient.probeSource };
  return await bounded(TRIAL_MS, async () => {
    const decision = decideHostDialect(
      dialect,
      await gatherHostProbeFacts(HOST_PROBE_DEPS, dialect, hasNfTables, host),
    );
    return decision.works ? undefined : decision.message;
  });
}

function moduleFacts(texts: Awaited<ReturnType<typeof readModuleTexts>>): ModuleFacts {
  return {
    loaded: texts.loaded === undefined ? undefined : parseLoadedModules(texts.loaded),
    builtIn: new Set([...parseBuiltInModules(texts.builtIn), ...texts.inSys]),
    cannotLoad: texts.cannotLoad,
  };
}

function dialectOf(text: string): BackendDialect | undefined {
  return (["iptables-nft", "nftables", "iptables-legacy"] as const).find((dialect) => dialect === text);
}
