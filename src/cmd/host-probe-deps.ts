// The real node below the services that let probes into ambient pods.
import { exec } from "../platform/exec/exec.ts";
import { findProgram } from "../platform/exec/find-program.ts";
import { readLegacyTables } from "../platform/exec/legacy-tables.ts";
import { firstExisting } from "../platform/fs/existing-path.ts";
import { readIpOption } from "../platform/linux/ip-option.ts";
import { openNetlink } from "../platform/linux/netlink-socket.ts";
import { createThrowawayNetns } from "../platform/linux/throwaway-netns.ts";

/** The lock is a file of the node; `/run` in this container is another folder unless somebody has mounted it. */
const XTABLES_LOCKS = ["/host/proc/1/root/run/xtables.lock", "/run/xtables.lock"];

export const HOST_PROBE_DEPS = {
  openNetlink,
  readIpOption,
  exec,
  findProgram,
  legacyTables: readLegacyTables,
  legacyLock: () => firstExisting(XTABLES_LOCKS),
  createThrowawayNetns,
};
