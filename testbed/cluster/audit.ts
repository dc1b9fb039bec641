// The API server's audit log in a lab: what service accounts asked for, and what they were told. The lab's API server is started
// anew with it; everything lies in the lab's state, and its own folder stays as it was.
import { linkSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isJsonObject, readPath, readText } from "../api-server/kube-object.ts";
import { mustRun } from "../node/command.ts";
import type { Lab } from "./lab.ts";

/** One request, at its end or, of a watch, at its beginning. */
export interface AuditEntry {
  readonly verb: string;
  /** With the subresource, as rules of RBAC name it: "pods/status". Empty for what is no resource. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  /** With the query. */
  readonly uri: string;
  /** Status of the answer. */
  readonly code: number;
  /** "allow" or "forbid", as the authorizer said. */
  readonly decision: string;
}

export interface Audit {
  /** All of one of the users so far, the oldest first. */
  entries(user: string): readonly AuditEntry[];
}

/** Restarts the lab's API server so that it writes down what these users ask for; does not wait until it answers. */
export async function startAudit(lab: Lab, users: readonly string[]): Promise<Audit> {
  const folder = join(lab.stateDir, "audit");
  const programs = join(dirname(lab.script), "bin");
  const log = join(folder, "log");
  const policy = {
    apiVersion: "audit.k8s.io/v1",
    kind: "Policy",
    omitStages: ["RequestReceived"],
    rules: [{ level: "Metadata", users }, { level: "None" }],
  };
  mkdirSync(join(folder, "bin"), { recursive: true });
  writeFileSync(join(folder, "policy.json"), JSON.stringify(policy));
  // A folder like the lab's with another kube-apiserver, laid over it in the node's mount namespace alone.
  for (const name of readdirSync(programs)) {
    const isServer = name === "kube-apiserver";
    linkProgram(realpathSync(join(programs, name)), join(folder, isServer ? name : `bin/${name}`));
  }
  const flags = `--audit-policy-file=${folder}/policy.json --audit-log-path=${log}`;
  const script = `#!/bin/sh\nexec ${folder}/kube-apiserver "$@" ${flags}\n`;
  writeFileSync(join(folder, "bin/kube-apiserver"), script, { mode: 0o755 });
  await mustRun([lab.script, "node", "mount", "--bind", join(folder, "bin"), programs]);
  await lab.restartApiServer();
  return {
    entries: (user) =>
      readFileSync(log, "utf8")
        .split("\n")
        .flatMap((line) => (line === "" ? [] : parseEntry(JSON.parse(line), user))),
  };
}

/** By a second name, for the first is hidden then; where that is on another disk, as our own lab's, it is not. */
function linkProgram(program: string, path: string): void {
  try {
    linkSync(program, path);
  } catch {
    symlinkSync(program, path);
  }
}

function parseEntry(event: unknown, user: string): AuditEntry[] {
  if (!isJsonObject(event) || readText(event, "user", "username") !== user) return [];
  const [resource, subresource] = ["resource", "subresource"].map((field) => readText(event, "objectRef", field));
  const code = readPath(event, "responseStatus", "code");
  return [
    {
      verb: readText(event, "verb"),
      resource: subresource === "" ? (resource ?? "") : `${resource}/${subresource}`,
      namespace: readText(event, "objectRef", "namespace"),
      name: readText(event, "objectRef", "name"),
      uri: readText(event, "requestURI"),
      code: typeof code === "number" ? code : 0,
      decision: readText(readPath(event, "annotations"), "authorization.k8s.io/decision"),
    },
  ];
}
