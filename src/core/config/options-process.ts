/**
 * Options of the process itself: its log, its metrics, and those that are accepted only because upstream's binary,
 * its chart or its framework has them. Source: contract 1.2-1.4, 8.3-8.6, 11 P22.
 */

import { LOG_LEVELS, type LogLevel } from "../log.ts";
import { parseLogLevel } from "../log-levels.ts";
import { LOG_TARGETS, SCOPE_LEVELS } from "./domain-value-type.ts";
import { option } from "./option.ts";
import { BOOL, integer, TEXT, type ValueType } from "./value-type.ts";

const LOG_LEVEL: ValueType<LogLevel> = {
  name: "level",
  accepts: "debug, info, warn, error, fatal or none",
  parse: parseLogLevel,
  render: (value) => value,
  completes: LOG_LEVELS,
};

export const LOG_OPTIONS = {
  outputLevel: option({
    flag: "log_output_level",
    type: SCOPE_LEVELS,
    fallback: [],
    fallbackText: "what LOG_LEVEL says",
    doc: "Levels per scope, such as default:info,cni-plugin:debug; a bare level is that of scope default and of cni-agent.",
  }),
  level: option({
    flag: "log-level",
    env: "LOG_LEVEL",
    type: LOG_LEVEL,
    fallback: "info",
    doc: "Level of every scope of which --log_output_level says nothing.",
  }),
  asJson: option({
    flag: "log_as_json",
    type: BOOL,
    fallback: false,
    doc: "Write one JSON object per line.",
  }),
  targets: option({
    flag: "log_target",
    type: LOG_TARGETS,
    fallback: ["stdout"],
    doc: "Where the log goes: stdout, stderr or a file; may be given several times.",
    repeatable: true,
  }),
} as const;

export const MONITORING_OPTIONS = {
  port: option({
    flag: "monitoring-port",
    env: "MONITORING_PORT",
    type: integer(-1, 65535, "port"),
    fallback: 15014,
    doc: "Port of /metrics; 0 or less switches it off.",
  }),
  statusPage: option({
    env: "STATUS_PAGE",
    type: BOOL,
    fallback: false,
    doc: "Show the status page, /status on the port of /metrics, to whoever reaches that port (not upstream's).",
  }),
} as const;

const noControlz = "ControlZ is not served; log levels change through the agent's own socket";
const goOnly = "it is read by the Go runtime only";
const readByNobody = "upstream's agent does not read it either";

function accepted(env: string, inert: string, doc: string) {
  return option({ env, type: TEXT, fallback: "", doc, inert });
}

export const ACCEPTED_OPTIONS = {
  kubernetesServiceProtocol: accepted(
    "KUBERNETES_SERVICE_PROTOCOL",
    "a token is sent over https only",
    "Upstream: scheme in the plugin's kubeconfig.",
  ),
  logCaller: option({
    flag: "log_caller",
    type: TEXT,
    fallback: "",
    doc: "Scopes whose lines tell the calling source line.",
    inert: "log lines carry no source position",
  }),
  logStacktraceLevel: option({
    flag: "log_stacktrace_level",
    type: SCOPE_LEVELS,
    fallback: [{ scope: "default", level: "none" }] as const,
    doc: "Levels from which lines carry a stack trace.",
    inert: "a stack is logged with the failure that has one",
  }),
  ctrlzPort: option({
    flag: "ctrlz_port",
    type: integer(0, 65535, "port"),
    fallback: 9876,
    doc: "Port of ControlZ.",
    inert: noControlz,
  }),
  ctrlzAddress: option({
    flag: "ctrlz_address",
    type: TEXT,
    fallback: "localhost",
    doc: "Address of ControlZ.",
    inert: noControlz,
  }),
  dryRunFilePath: accepted("DRY_RUN_FILE_PATH", "there is no dry run", "File for rules that are not applied."),
  revision: accepted("REVISION", readByNobody, "Revision of the control plane."),
  repairRunAsDaemon: accepted("REPAIR_RUN_AS_DAEMON", readByNobody, "Set by the chart."),
  currentAgentVersion: accepted("CURRENT_AGENT_VERSION", readByNobody, "Set by the chart."),
  goMemLimit: accepted("GOMEMLIMIT", goOnly, "Set by the chart."),
  goMaxProcs: accepted("GOMAXPROCS", goOnly, "Set by the chart."),
  metricsLocalhostAccessOnly: accepted("METRICS_LOCALHOST_ACCESS_ONLY", readByNobody, "A variable of istiod."),
  compliancePolicy: accepted("COMPLIANCE_POLICY", readByNobody, "A variable of istiod."),
} as const;
