/**
 * Every command of install-cni as one table: the parser (cmd/flags.ts), the help texts and the shell completions are made of
 * it, so none of them can know a command or a flag that the others do not. What a command does is in cmd/commands.
 */

import type { FlagSpec } from "./command-line.ts";
import { ALL_OPTIONS } from "./options.ts";
import { INSTALL_OPTIONS } from "./options-install.ts";
import { BOOL, type Completion } from "./value-type.ts";

export interface CommandFlag extends FlagSpec {
  /** What stands for the value in help texts: "FORMAT". Absent for a switch. */
  readonly value?: string;
  /** What a shell offers as its value. */
  readonly completes?: Completion;
  /** One sentence, upper case first, full stop. */
  readonly doc: string;
}

export interface CommandSpec {
  readonly name: string;
  /** Behind the name in a usage line; "" where it takes no arguments. */
  readonly argumentText: string;
  /** How many words may follow the name. More are refused; too few are the command's own affair. */
  readonly maxArguments: number;
  /** Words that a shell offers in their place. */
  readonly argumentWords?: readonly string[];
  /** A few words, lower case, no full stop. */
  readonly summary: string;
  /** Paragraphs of its help text. */
  readonly doc: readonly string[];
  /** Its own flags, help included. */
  readonly flags: readonly CommandFlag[];
  /** Flags of the agent's options that it takes besides. */
  readonly optionFlags: readonly CommandFlag[];
  /** Exit status for a command line that is wrong: 2 or 3 where the lower ones say something about the node. */
  readonly usageStatus: 1 | 2 | 3;
  /** Why scripts may care how it ends; by status. */
  readonly exitStatus?: Readonly<Record<number, string>>;
}

const HELP: CommandFlag = { name: "help", short: "h", isSwitch: true, doc: "Print this text." };

function outputFlag(...words: readonly string[]): CommandFlag {
  const doc = `Form of the output: ${words.join(" or ")}${words[0] === "text" ? "" : "; text for people without it"}.`;
  return { name: "output", short: "o", isSwitch: false, value: words.join("|"), completes: words, doc };
}

const TEXT_OR_JSON = outputFlag("text", "json");

const OPTION_FLAGS: readonly CommandFlag[] = ALL_OPTIONS.flatMap(({ option: { flag, type, doc } }) => {
  if (flag === undefined) return [];
  const isSwitch = type === BOOL;
  const completes = type.completes === undefined ? {} : { completes: type.completes };
  return [{ name: flag, isSwitch, ...(isSwitch ? {} : { value: type.name }), ...completes, doc }];
});

function optionFlags(...options: readonly { readonly flag?: string }[]): readonly CommandFlag[] {
  const names = new Set(options.map(({ flag }) => flag));
  return OPTION_FLAGS.filter(({ name }) => names.has(name));
}

/** What a command needs that asks the agent which runs. */
const RUN_DIR = optionFlags(INSTALL_OPTIONS.cniAgentRunDir);
/** What a command needs that works on the host's folders. */
const FOLDERS = optionFlags(
  INSTALL_OPTIONS.cniAgentRunDir,
  INSTALL_OPTIONS.mountedCniNetDir,
  INSTALL_OPTIONS.cniConfName,
  INSTALL_OPTIONS.istioOwnedCniConfigFilename,
);
/** Upstream's hold for every command (contract 1.4), so its commands take them here too. */
const LOGGING = OPTION_FLAGS.filter(({ name }) => /^(?:log|ctrlz)_/.test(name));

const ASKS =
  "It asks the agent that runs, over admin.sock in CNI_AGENT_RUN_DIR, and works wherever that directory is: in the agent's container and on the node, as root.";

/** install-cni without a command: the agent. */
export const AGENT_COMMAND: CommandSpec = {
  name: "",
  argumentText: "",
  maxArguments: 0,
  summary: "run the agent",
  doc: [],
  flags: [HELP],
  optionFlags: OPTION_FLAGS,
  usageStatus: 1,
};

const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;
export type Shell = (typeof SHELLS)[number];

export function parseShell(text: string): Shell | undefined {
  return SHELLS.find((shell) => shell === text);
}

/** In the order of the help text. */
const TABLE = [
  {
    name: "status",
    argumentText: "",
    maxArguments: 0,
    summary: "tell how the node and each of its pods are",
    doc: [ASKS],
    flags: [HELP, TEXT_OR_JSON],
    optionFlags: RUN_DIR,
    usageStatus: 2,
    exitStatus: {
      0: "all is as it should be",
      1: "something needs attention",
      2: "the agent cannot be asked, or the command line is wrong",
    },
  },
  {
    name: "explain",
    argumentText: "NAMESPACE/POD",
    maxArguments: 1,
    summary: "tell why a pod is in the mesh or not, and how it is",
    doc: [ASKS],
    flags: [
      HELP,
      TEXT_OR_JSON,
      { name: "rules", isSwitch: true, doc: "Show the rules one by one, each with what it is for." },
    ],
    optionFlags: RUN_DIR,
    usageStatus: 2,
    exitStatus: {
      0: "the pod needs no attention",
      1: "it does, or the kernel holds something else than it should now",
      2: "the agent cannot be asked, or the command line is wrong",
      3: "the agent knows no such pod",
    },
  },
  {
    name: "trace",
    argumentText: "NAMESPACE/POD",
    maxArguments: 1,
    summary: "follow a packet through the rules that the kernel holds for a pod",
    doc: [
      "The first packet of a connection that the pod opens (--to), or that is opened to it (--in), goes through all rules in the pod's network namespace as the kernel has them now, those of others too. Nothing is sent and nothing is changed. Where something on the way cannot be read, the verdict is unknown and says what.",
      ASKS,
    ],
    flags: [
      HELP,
      TEXT_OR_JSON,
      {
        name: "to",
        isSwitch: false,
        value: "IP:PORT",
        doc: "Where the pod sends to; with --in the pod's address, when it has several.",
      },
      { name: "in", isSwitch: true, doc: "Trace what comes in." },
      {
        name: "from",
        isSwitch: false,
        value: "IP[:PORT]",
        doc: "From where it comes in; without --in the address that the sender has bound.",
      },
      { name: "port", isSwitch: false, value: "PORT", doc: "With --in: the port of the pod." },
      { name: "udp", isSwitch: true, doc: "UDP instead of TCP." },
      { name: "uid", isSwitch: false, value: "ID", doc: "User that sends; 0 without it. The proxy is 1337 as a rule." },
      { name: "gid", isSwitch: false, value: "ID", doc: "Group that sends; 0 without it." },
      {
        name: "mark",
        isSwitch: false,
        value: "MARK",
        doc: "Mark that the sender has put on its socket; 0 without it.",
      },
    ],
    optionFlags: RUN_DIR,
    usageStatus: 2,
    exitStatus: {
      0: "the packet is redirected to the proxy",
      1: "it passes by the proxy",
      2: "the agent or the pod's namespace cannot be asked, or the command line is wrong",
      3: "the agent knows no such pod",
      4: "the packet is dropped, or has no route",
      5: "where it ends cannot be told",
    },
  },
  {
    name: "render",
    argumentText: "",
    maxArguments: 0,
    summary: "tell what would be done with the pods of a manifest",
    doc: [
      "It reads pods, whatever has a pod template, lists of them and the namespaces among them, and tells of each pod the decision an agent with this command line and environment would make, why, and the rules it would write. Neither agent nor cluster nor kernel is asked: the kernel is taken to have everything.",
      "A manifest has no sidecar before its injection. Give the pod as the API server has it (kubectl get pod NAME -o yaml), or what istioctl kube-inject makes of it.",
    ],
    flags: [
      HELP,
      {
        name: "output",
        short: "o",
        isSwitch: false,
        value: "text|json|iptables-save|ip6tables-save|nft",
        completes: ["text", "json", "iptables-save", "ip6tables-save", "nft"],
        doc: "Form of the output: text, json, or the rules alone as iptables-restore, ip6tables-restore or nft -f read them.",
      },
      {
        name: "filename",
        short: "f",
        isSwitch: false,
        value: "FILE",
        completes: "file",
        doc: "The manifest, JSON or YAML; - or nothing for standard input.",
      },
      {
        name: "namespace",
        short: "n",
        isSwitch: false,
        value: "NAMESPACE",
        doc: "Namespace of what names none; default without it.",
      },
      {
        name: "namespace-label",
        isSwitch: false,
        value: "KEY=VALUE",
        doc: "Label of the pods' namespaces, for ambient mode; may be given several times.",
      },
      {
        name: "backend",
        isSwitch: false,
        value: "iptables|nftables|legacy",
        completes: ["iptables", "nftables", "legacy"],
        doc: "Dialect of the rules; without it as NATIVE_NFTABLES and FORCE_IPTABLES_BINARY say.",
      },
      {
        name: "family",
        isSwitch: false,
        value: "ipv4|ipv6|dual",
        completes: ["ipv4", "ipv6", "dual"],
        doc: "Which addresses the pods have; without it those of their status, else ipv4.",
      },
      {
        name: "mode",
        isSwitch: false,
        value: "sidecar|ambient",
        completes: ["sidecar", "ambient"],
        doc: "Mode of the node; without it as AMBIENT_ENABLED says.",
      },
    ],
    optionFlags: OPTION_FLAGS,
    usageStatus: 2,
    exitStatus: {
      0: "every pod would be in the mesh or outside",
      1: "one would be refused, cannot be decided on, or has no rules in the form asked for",
      2: "the manifest cannot be read, or the command line is wrong",
    },
  },
  {
    name: "config",
    argumentText: "",
    maxArguments: 0,
    summary: "print every option's value and where it comes from",
    doc: [
      "Without --running the values are those that an agent started with this command line and environment would have; nothing is started and nothing is touched. A value that an agent would refuse is refused here, with the same sentence.",
      "With --running the agent that runs is asked, over admin.sock in CNI_AGENT_RUN_DIR, as root.",
    ],
    flags: [HELP, TEXT_OR_JSON, { name: "running", isSwitch: true, doc: "Ask the agent that runs." }],
    optionFlags: OPTION_FLAGS,
    usageStatus: 1,
    exitStatus: {
      0: "an agent starts with it",
      1: "it does not, or the command line is wrong",
      2: "with --running: the agent cannot be asked",
    },
  },
  {
    name: "log-level",
    argumentText: "[SCOPE=LEVEL…]",
    maxArguments: 64,
    summary: "show or change what the running agent logs",
    doc: [
      "Without an argument: the levels that hold. Scopes are default, cni-agent (what the agent says), cni-plugin (what it says for plugins) and all; levels are debug, info, warn, error, fatal and none. A level alone is that of scope default, which cni-agent follows. The log has a line about every change, whatever the levels are.",
      "A change holds until the agent ends, or for as long as --for says. What the configuration says holds again at the agent's next start.",
      ASKS,
    ],
    flags: [
      HELP,
      TEXT_OR_JSON,
      {
        name: "for",
        isSwitch: false,
        value: "duration",
        doc: "How long the change holds, from 1s to 24h, such as 10m or 2h; after that what was before holds again.",
      },
      { name: "reset", isSwitch: true, doc: "Forget every change first: what the configuration says holds again." },
    ],
    optionFlags: RUN_DIR,
    usageStatus: 2,
    exitStatus: { 0: "shown, or changed", 2: "the agent cannot be asked, or the command line is wrong" },
  },
  {
    name: "doctor",
    argumentText: "",
    maxArguments: 0,
    summary: "look at all that the agent needs of this node",
    doc: [
      "Kernel, rights, folders, the runtime's chain of plugins, API server, agent: each check has a result, why it matters, and what to do. It works with and without an agent that runs, in the agent's container and on the node, as root, and reads options as the agent does.",
      "Nothing on the node is changed. Asking the kernel for a feature may load the module that has it, as the agent's start does; where it would, the question is left out unless --load-modules is given.",
    ],
    flags: [
      HELP,
      TEXT_OR_JSON,
      { name: "load-modules", isSwitch: true, doc: "Ask the kernel also where that may load its modules." },
    ],
    optionFlags: OPTION_FLAGS,
    usageStatus: 3,
    exitStatus: {
      0: "every check that applies to this node is good",
      1: "something warns or could not be found out, nothing failed",
      2: "a check failed",
      3: "the command line is wrong, nothing was looked at",
    },
  },
  {
    name: "uninstall",
    argumentText: "",
    maxArguments: 0,
    summary: "take plugin and configuration off this node",
    doc: [
      "It needs neither agent nor API server. An agent that runs puts nothing back until it is started anew. Pods leave ambient mode; those with a sidecar keep their redirection, which the sidecar needs.",
      "With --all-nodes, which a pod in the cluster runs, it deletes the DaemonSet istio-cni-node of POD_NAMESPACE and waits until every agent has taken its node's plugin and configuration away and ended. It needs the right to get and delete that DaemonSet; with the right to list pods it names nodes whose agent did not run.",
    ],
    flags: [
      HELP,
      TEXT_OR_JSON,
      { name: "force", isSwitch: true, doc: "Also where another agent, which is not ours, listens on this node." },
      { name: "all-nodes", isSwitch: true, doc: "End the agents of all nodes, through the API server." },
    ],
    optionFlags: FOLDERS,
    usageStatus: 2,
    exitStatus: {
      0: "no pod that starts now meets istio-cni",
      1: "something could not be removed, or an agent did not end; it may be run again",
      2: "the command line is wrong",
    },
  },
  {
    name: "version",
    argumentText: "",
    maxArguments: 0,
    summary: "print the version",
    doc: [],
    flags: [
      HELP,
      outputFlag("yaml", "json"),
      { name: "short", short: "s", isSwitch: true, doc: "Only the version's number." },
    ],
    optionFlags: LOGGING,
    usageStatus: 1,
  },
  {
    name: "completion",
    argumentText: SHELLS.join("|"),
    maxArguments: 1,
    argumentWords: SHELLS,
    summary: "print a completion script for a shell",
    doc: [
      "For the shell you are in: source <(install-cni completion bash), source <(install-cni completion zsh), install-cni completion fish | source, install-cni completion powershell | Out-String | Invoke-Expression.",
      "For every shell to come: put the output where the shell looks for completions, for instance /etc/bash_completion.d/install-cni, _install-cni in a folder of zsh's $fpath, or ~/.config/fish/completions/install-cni.fish.",
    ],
    flags: [HELP, { name: "no-descriptions", isSwitch: true, doc: "Leave out what commands and flags are for." }],
    optionFlags: LOGGING,
    usageStatus: 1,
  },
  {
    name: "help",
    argumentText: "[COMMAND]",
    maxArguments: 1,
    summary: "print the help text of install-cni or of a command",
    doc: [],
    flags: [HELP],
    optionFlags: LOGGING,
    usageStatus: 1,
  },
] as const satisfies readonly CommandSpec[];

export type CommandName = (typeof TABLE)[number]["name"];

/** A row of the table, its name known to the compiler. */
export interface NamedCommandSpec extends CommandSpec {
  readonly name: CommandName;
}

export const COMMANDS: readonly NamedCommandSpec[] = TABLE;

export function findCommand(name: string): NamedCommandSpec | undefined {
  return COMMANDS.find((command) => command.name === name);
}
