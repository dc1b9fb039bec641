// What can be known of a CI workflow without running it: that it is YAML, that what its steps call is there, that every
// variable they use is set, and that nothing in it trusts more than it must. Pure: text in, complaints out.
import { type PlainYaml, parsePlainYaml } from "../src/core/kube/plain-yaml.ts";

/** What a workflow may call. */
export interface WorkflowProject {
  /** Names of the targets of make. */
  readonly targets: ReadonlySet<string>;
  /** Names of the scripts of package.json. */
  readonly scripts: ReadonlySet<string>;
  /** Whether a path of the checkout exists. */
  readonly exists: (path: string) => boolean;
}

type Mapping = { readonly [key: string]: PlainYaml };

/** Programs that Debian's packages in the first step, GitHub's runner or an earlier step bring. */
const PROGRAMS = new Set(
  "apt-get cosign curl echo env export gh git helm install istioctl kind kubectl make minikube mkdir npm sha256sum skopeo sudo test".split(
    " ",
  ),
);
/** Set by the runner. */
const OF_RUNNER = /^(GITHUB|RUNNER)_[A-Z_]+$|^(HOME|PATH)$/;
const PINNED = /^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/;
/** Names of registries are settings of whoever runs it. */
const REGISTRY = /\b(ghcr|docker|quay|gcr|k8s|registry-1)\.(io|com)\b|\bpkg\.dev\b/;
const WRAPPERS = /^(sudo|env)$/;

/** One sentence for each thing that is wrong; empty: nothing was found. */
export function checkWorkflow(text: string, project: WorkflowProject): readonly string[] {
  let document: PlainYaml;
  try {
    document = parsePlainYaml(text);
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
  const workflow = mapping(document);
  const jobs = Object.entries(mapping(workflow["jobs"]));
  const triggers = Object.keys(mapping(workflow["on"]));
  const dangerous = triggers.filter((trigger) => ["pull_request_target", "workflow_run"].includes(trigger));
  return [
    ...dangerous.map((trigger) => `${trigger} runs other people's changes with this repository's rights`),
    ...tokensIn(mapping(workflow["env"])),
    ...(triggers.length === 0 ? ["nothing starts it"] : []),
    ...(jobs.length === 0 ? ["it has no job"] : []),
    ...(mapping(workflow["permissions"])["contents"] === "read" ? [] : ["permissions is not `contents: read`"]),
    ...text.split("\n").flatMap((line, index) => checkLine(line).map((what) => `line ${index + 1}: ${what}`)),
    ...jobs.flatMap(([name, job]) =>
      checkJob(mapping(job), mapping(workflow["env"]), project).map((what) => `job ${name}: ${what}`),
    ),
  ];
}

function checkLine(line: string): readonly string[] {
  const isUnnamed = /\buses:/.test(line) && !/@[0-9a-f]{40} # v\d+\.\d+/.test(line);
  return [
    ...(isUnnamed ? ["what is used has no commit with its version in a comment"] : []),
    ...(REGISTRY.test(line) ? ["a registry is named; let it be a variable"] : []),
  ];
}

function checkJob(job: Mapping, env: Mapping, project: WorkflowProject): readonly string[] {
  const steps = Array.isArray(job["steps"]) ? job["steps"].map(mapping) : [];
  const runner = String(job["runs-on"]);
  // Commands that a matrix holds are called by name.
  const include = mapping(mapping(job["strategy"])["matrix"])["include"];
  const commands = (Array.isArray(include) ? include.map(mapping) : []).flatMap((row) =>
    ["start", "load"].map((key) => row[key]).filter((command) => typeof command === "string"),
  );
  const known = { ...env, ...mapping(job["env"]) };
  const mayWrite = Object.values(mapping(job["permissions"])).includes("write");
  const makes = steps.some(({ run }) => /\bmake\b/.test(String(run)));
  return [
    ...tokensIn(mapping(job["env"])),
    ...(mayWrite && makes ? ["it may write, and executes what others made: let another job build"] : []),
    ...(/^\d+$/.test(String(job["timeout-minutes"])) ? [] : ["it has no timeout-minutes"]),
    ...(/^[a-z]+-\d/.test(runner) ? [] : [`it runs on ${runner}, which is another machine tomorrow`]),
    ...(steps.length === 0 ? ["it has no step"] : []),
    ...commands.flatMap((command) => checkCommands(command, project)),
    ...steps.flatMap((step) => checkStep(step, known, project)),
  ];
}

/** Of variables that more than one step gets. */
function tokensIn(env: Mapping): readonly string[] {
  const isToken = (name: string): boolean => /\bsecrets\.|\bgithub\.token\b/.test(String(env[name]));
  return Object.keys(env)
    .filter(isToken)
    .map((name) => `every step has ${name}; let only that have it which needs it`);
}

function checkStep(step: Mapping, env: Mapping, project: WorkflowProject): readonly string[] {
  const { run, uses } = step;
  if (typeof uses === "string") return PINNED.test(uses) ? [] : [`${uses} is not pinned to a commit`];
  if (typeof run !== "string") return ["a step neither runs nor uses anything"];
  const known = { ...env, ...mapping(step["env"]) };
  const variables = [...run.replaceAll(/'[^']*'/g, "").matchAll(/\$\{?(\w+)/g)].map(([, name = ""]) => name);
  return [
    ...(run.includes("${{") ? [`\`${run}\` has an expression, whose value would be read as a command`] : []),
    ...variables
      .filter((name) => !Object.hasOwn(known, name) && !OF_RUNNER.test(name))
      .map((name) => `\`${run}\` uses ${name}, which nobody sets`),
    ...checkCommands(run, project),
  ];
}

/** Each command of a line: does what it calls exist? */
function checkCommands(line: string, project: WorkflowProject): readonly string[] {
  return line
    .replaceAll(/"[^"]*"|'[^']*'/g, (quoted) => quoted.replaceAll(/[|;&\s]/g, "_"))
    .split(/\|\||&&|[|;]/)
    .flatMap((command) => checkCommand(command.trim().split(/\s+/), project));
}

function checkCommand(words: readonly string[], project: WorkflowProject): readonly string[] {
  const [program = "", ...args] = words;
  const isSkipped = program.includes("=") || program.startsWith("-");
  if (WRAPPERS.test(program) || isSkipped) return args.length === 0 ? [] : checkCommand(args, project);
  const missing = (what: string): readonly string[] => [`\`${words.join(" ")}\` calls ${what}, which is not there`];
  if (/^"?\$/.test(program)) return [];
  if (program === "make") {
    const targets = args.filter((arg) => /^[a-z-]+$/.test(arg));
    return targets.filter((target) => !project.targets.has(target)).flatMap((target) => missing(`make ${target}`));
  }
  if (program === "npm" && args[0] === "run")
    return project.scripts.has(args[1] ?? "") ? [] : missing(`npm run ${args[1]}`);
  if (program === "tools/node") {
    const [script = ""] = args;
    return project.exists(script) ? [] : missing(script);
  }
  if (program.includes("/")) return project.exists(program) ? [] : missing(program);
  return PROGRAMS.has(program) ? [] : missing(program);
}

function mapping(value: PlainYaml | undefined): Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Mapping) : {};
}
