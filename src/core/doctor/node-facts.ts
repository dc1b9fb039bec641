/**
 * What `install-cni doctor` found out about a node, before anything is made of it. Gathered by cmd/commands/doctor-*.ts;
 * decided on by the tables of checks beside this file.
 */

import type { InstallDecision } from "../cni/decide-install.ts";
import type { HostView } from "../cni/host-view.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import type { Mount } from "../mount-info.ts";
import type { StatusDocument } from "../status/status-document.ts";
import type { Right } from "./needed-rights.ts";

/** A probe's answer, or why there is none: a clause such as "no answer within 3 s". */
export type Probed<T> = { readonly value: T } | { readonly unknown: string };

/** How this node's pods would be captured, by the agent's word or by a trial in a namespace nobody uses. */
export type RulesFacts = {
  readonly toldBy: "agent" | "trial";
  /** Nothing on this node captures a pod as the defaults ask. */
  readonly isIncomplete: boolean;
  readonly message: string;
  /** What a pod may ask for and would not get, in words. */
  readonly missing: readonly string[];
  /** Pods with `hostUsers: false` can be captured. */
  readonly hasUserNamespaces: boolean;
};

export type KernelFacts = {
  readonly release: Probed<string>;
  readonly hasIpv6: boolean;
  readonly rules: Probed<RulesFacts>;
  /** Ambient mode only: why probes of the node cannot be let into pods; undefined: they can. */
  readonly hostProbes: Probed<string | undefined> | undefined;
};

/** Texts of /proc of this process and of the kernel's security modules. */
export type RightsFacts = {
  /** /proc/self/status */
  readonly status: Probed<string>;
  /** /proc/self/limits */
  readonly limits: Probed<string>;
  /** /proc/self/uid_map */
  readonly uidMap: Probed<string>;
  /** /proc/self/attr/current; empty where no security module labels processes. */
  readonly label: Probed<string>;
  /** SELinux is in force; undefined: there is none, or it is not to be seen. */
  readonly isSelinuxEnforcing: boolean | undefined;
  /** A network namespace could be made and entered. */
  readonly netns: Probed<true>;
  /** A folder could be watched (inotify). */
  readonly inotify: Probed<true>;
};

export type FolderRole = "conf" | "bin" | "run" | "proc" | "ztunnel";

export type FolderFacts = {
  readonly role: FolderRole;
  /** Where it was looked for; the first that is there is meant. */
  readonly candidates: readonly string[];
  readonly found:
    | undefined
    | {
        readonly path: string;
        /** Symlinks resolved. */
        readonly realPath: string;
        readonly isFolder: boolean;
        readonly isWritable: Probed<boolean>;
        /** `totalInodes` is 0 on file systems that do not count them. */
        readonly space: Probed<{
          readonly freeBytes: number;
          readonly freeInodes: number;
          readonly totalInodes: number;
        }>;
      };
};

export type CniFacts = {
  readonly view: Probed<HostView>;
  /** What an agent with this configuration would do now. */
  readonly decision: Probed<InstallDecision>;
  /** Plugins that the node's configurations name and no plugin folder has. */
  readonly absentPlugins: readonly string[];
  /** Files with a token for the API server that nobody needs, by path. */
  readonly strayTokens: readonly string[];
};

/** Where the identity comes from and how long it holds; times in ms since 1970, undefined: not told. */
export type TokenFacts = {
  readonly source: string;
  readonly expiresAtMs: number | undefined;
  readonly notBeforeMs: number | undefined;
};

export type ApiFacts = {
  /** Where the server is, as host:port. */
  readonly endpoint: Probed<string>;
  /** Undefined: certificates, no token. */
  readonly token: Probed<TokenFacts | undefined>;
  /** It answered, whatever it said; `dateMs` is its clock, `refusal` a 401. */
  readonly answer: Probed<{ readonly dateMs: number | undefined; readonly refusal: string | undefined }>;
  readonly rights: readonly { readonly right: Right; readonly isAllowed: Probed<boolean> }[];
  /** Whether this is the node of that name, and by what that is known. */
  readonly node: Probed<{ readonly isRight: boolean; readonly why: string }>;
};

/** `unreachable`: something is there and does not answer as an agent does. */
export type AgentFacts =
  | { readonly kind: "answers"; readonly status: StatusDocument }
  | { readonly kind: "absent" | "unreachable"; readonly reason: string };

/** The node's processes, as /host/proc shows them. */
export type ProcessFacts = {
  readonly total: number;
  /** In a cgroup that names a pod. */
  readonly inPods: number;
  /** Runtimes seen that do not use the network stack of the pod's namespace: "kata", "gvisor". */
  readonly sandboxes: readonly string[];
};

export type NodeFacts = {
  /** Milliseconds since 1970, when the look began. */
  readonly wallMs: number;
  /** Of this program. */
  readonly version: string;
  readonly nodeName: string;
  readonly settings: AgentConfig;
  /** What is wrong with the options themselves; `settings` are then the defaults, with the folders as given. */
  readonly configProblems: readonly string[];
  readonly configWarnings: readonly string[];
  /** The host's file system is mounted somewhere below our root, as the chart does. */
  readonly isContainer: boolean;
  readonly kernel: KernelFacts;
  readonly rights: RightsFacts;
  readonly mounts: Probed<readonly Mount[]>;
  readonly folders: readonly FolderFacts[];
  readonly cni: CniFacts;
  readonly api: ApiFacts;
  readonly agent: AgentFacts;
  /** Ports on which somebody listens in this network namespace. */
  readonly listening: Probed<ReadonlySet<number>>;
  readonly processes: Probed<ProcessFacts>;
};

/** The value; undefined where it could not be found out. */
export function knownOf<T>(probed: Probed<T>): T | undefined {
  return "value" in probed ? probed.value : undefined;
}
