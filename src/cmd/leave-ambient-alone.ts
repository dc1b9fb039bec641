// Lets the pods of this node out of ambient mode where no agent runs that would, and without asking the API server: which pods
// were in tell the records in the run directory (ADR 10). Part of `install-cni uninstall`.
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { type AmbientMember, leaveAmbient } from "../agent/ambient/leave-ambient.ts";
import { findRecordedNetns } from "../agent/netns/find-recorded-netns.ts";
import { createRecordFiles, RECORD_BOUNDS } from "../agent/pod-records/record-files.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import type { Logger } from "../core/log.ts";
import type { AmbientPodRecord } from "../core/pod-record/pod-record.ts";
import { RECORDS_FOLDER } from "../core/run-dir-names.ts";
import type { Clock } from "../platform/clock.ts";
import { firstExisting } from "../platform/fs/existing-path.ts";
import { createPrivateFolder, isTemporaryName } from "../platform/fs/private-folder.ts";
import { createProcReader } from "../platform/fs/proc-reader.ts";
import { openNetnsFile } from "../platform/linux/dup-netns.ts";
import { identifyNetns } from "../platform/linux/netns-identity.ts";
import { readBootId } from "../platform/process/boot-id.ts";
import { ownUid } from "../platform/process/own-user.ts";
import { anyAmbientCapture } from "./ambient-pods.ts";
import { createBackend } from "./backend.ts";
import { forbiddenNamespaces, netnsFolders } from "./node-namespaces.ts";
import { hostPlaces } from "./paths.ts";
import { removeHostProbes } from "./remove-host-probes.ts";

export interface LeaveAloneInput {
  readonly runDir: string;
  readonly policy: AgentConfig["policy"];
  readonly probeSource: AgentConfig["ambient"]["probeSource"];
  /** How long open connections are waited for. */
  readonly finishMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface LeftAlone {
  /** Pods that were in, `namespace/name`: what their annotation says is the API server's. */
  readonly released: readonly string[];
  readonly hadHostProbes: boolean;
  readonly left: readonly { readonly what: string; readonly reason: string }[];
}

/** Never rejects. Records whose pod is gone count for nothing. */
export async function leaveAmbientAlone(input: LeaveAloneInput, signal: AbortSignal): Promise<LeftAlone> {
  const { log, clock, policy, probeSource } = input;
  const { root, proc } = hostPlaces();
  const records = await readRecords(input.runDir, log, signal);
  // On a node that was never in ambient mode there may be no way to see the node's namespaces, and no need.
  if (records.length === 0 && firstExisting([proc]) === undefined) return NOTHING;
  const left: { what: string; reason: string }[] = [];
  const procReader = createProcReader(proc);
  const forbidden = forbiddenNamespaces(procReader);
  using handles = new DisposableStack();
  let found: Awaited<ReturnType<typeof findRecordedNetns>> = new Map();
  try {
    found = await findRecordedNetns({ proc: procReader, open: openNetnsFile, identify: identifyNetns }, records, {
      forbidden,
      namedFolders: netnsFolders(root),
    });
    for (const handle of found.values()) handles.use(handle);
  } catch (error) {
    if (records.length === 0) return NOTHING;
    const pods = records.map(({ podNamespace, podName }) => `${podNamespace}/${podName}`).join(", ");
    left.push({ what: `pods ${pods}`, reason: `the node's processes cannot be seen: ${String(error)}` });
  }
  const members = records.flatMap((record): (AmbientMember & { record: AmbientPodRecord })[] => {
    const handle = found.get(record.podUid);
    const { podUid, podNamespace, podName } = record;
    if (handle === undefined) return [];
    const open = () => ({ fd: handle.fd, [Symbol.dispose]: () => undefined });
    return [{ podUid, podNamespace, podName, record, open }];
  });
  const formerly = new Map(members.map(({ podUid, record }) => [podUid, record.capture]));
  const { backend, decision } = createBackend(policy, forbidden);
  let hadHostProbes = false;
  const report = await leaveAmbient(
    {
      release: backend.release,
      remove: async (fd, { podUid }) => {
        const capture = formerly.get(podUid);
        await backend.remove(fd, anyAmbientCapture(probeSource), capture === undefined ? {} : { formerly: capture });
      },
      async removeHostProbes() {
        hadHostProbes = await removeHostProbes({ probeSource, backend: decision, proc });
        return hadHostProbes;
      },
      ...{ clock, log },
    },
    members,
    { finishMs: input.finishMs },
    signal,
  );
  const failed = new Set(report.left.map(({ what }) => what));
  const names = members.map(({ podNamespace, podName }) => `${podNamespace}/${podName}`);
  return {
    released: names.filter((name) => !failed.has(`pod ${name}`)),
    hadHostProbes,
    left: [...left, ...report.left],
  };
}

const NOTHING: LeftAlone = { released: [], hadHostProbes: false, left: [] };

/** Of pods that were in, of this boot. None where the folder cannot be read. */
async function readRecords(runDir: string, log: Logger, signal: AbortSignal): Promise<readonly AmbientPodRecord[]> {
  const bootId = readBootId();
  if (bootId === undefined) return [];
  const folder = createPrivateFolder(join(runDir, RECORDS_FOLDER), ownUid());
  if (firstExisting([folder.path]) === undefined) return [];
  const files = createRecordFiles(
    { folder, isTemporaryName, log, countFailure: () => undefined, yieldToLoop: () => setImmediate() },
    { ...RECORD_BOUNDS, bootId },
  );
  const records: AmbientPodRecord[] = [];
  await files.load((record) => {
    if (record.mode === "ambient" && record.capture !== undefined) records.push(record);
  }, signal);
  return records;
}
