// Which tables of iptables legacy a network namespace has. Reading the list makes nothing and loads nothing, other than
// any question put to the programs (`iptables-legacy -L` creates the table it lists).

import { existsSync, readFileSync } from "node:fs";
import { FAMILIES } from "../../core/address.ts";
import { codeOf } from "../../core/error-message.ts";
import { runInNetns } from "../linux/netns.ts";

const LIST = { 4: "ip_tables_names", 6: "ip6_tables_names" } as const;

/** Whether this kernel has iptables legacy now, for both families. A module that nobody has loaded yet does not show. */
export function hasLegacyTables(): boolean {
  return FAMILIES.every((family) => existsSync(`/proc/thread-self/net/${LIST[family]}`));
}

/** The names of the tables per family; empty without any, and on a kernel without iptables legacy. Needs CAP_NET_ADMIN. */
export function readLegacyTables(netnsFd: number): Readonly<Record<4 | 6, readonly string[]>> {
  return runInNetns(netnsFd, () => ({ 4: readNames(4), 6: readNames(6) }));
}

function readNames(family: 4 | 6): string[] {
  try {
    const text = readFileSync(`/proc/thread-self/net/${LIST[family]}`, "utf8");
    return text.split("\n").filter((name) => name !== "");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}
