// What single files of /proc say that doctor reads: rights of a process, its limits, listening ports. Pure readers, total: what
// is not there is undefined or empty.

import { isRecord, parseJson } from "../json-value.ts";

/** The mode of seccomp in /proc/PID/status: 0 off, 1 strict, 2 filter. */
export function parseSeccomp(text: string): number | undefined {
  const mode = /^Seccomp:\t(\d)$/m.exec(text)?.[1];
  return mode === undefined ? undefined : Number(mode);
}

/** The hard limit of open files in /proc/PID/limits; Infinity for none. */
export function parseFileLimit(text: string): number | undefined {
  const hard = /^Max open files +\S+ +(unlimited|\d{1,15})(?!\S)/m.exec(text)?.[1];
  if (hard === undefined) return undefined;
  return hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
}

/** Whether /proc/PID/uid_map is that of the machine's first user namespace. */
export function isFirstUserNamespace(uidMap: string): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
}

const LISTEN = "0A";

/** Ports with a listening socket in the texts of /proc/net/tcp and /proc/net/tcp6. */
export function parseListening(...texts: readonly string[]): ReadonlySet<number> {
  const ports = new Set<number>();
  for (const text of texts) {
    for (const line of text.split("\n")) {
      const [, local = "", , state] = line.trim().split(/\s+/);
      const port = /^[0-9A-F]+:([0-9A-F]{4})$/.exec(local)?.[1];
      if (state === LISTEN && port !== undefined) ports.add(Number.parseInt(port, 16));
    }
  }
  return ports;
}

/** "6.18.44-fc" as [6, 18]; undefined when it begins otherwise. */
export function parseRelease(release: string): readonly [number, number] | undefined {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return major === undefined || minor === undefined ? undefined : [Number(major), Number(minor)];
}

/** Times in the payload of a service account's token, in ms since 1970. The signature is the API server's business, and nothing
 * else of the token is read. Undefined: it is no JWT. */
export function parseTokenTimes(
  payload: string,
): { readonly expiresAtMs: number | undefined; readonly notBeforeMs: number | undefined } | undefined {
  const claims = parseJson(payload);
  if (!isRecord(claims)) return undefined;
  const msOf = (seconds: unknown): number | undefined =>
    typeof seconds === "number" && Number.isFinite(seconds) ? seconds * 1000 : undefined;
  return { expiresAtMs: msOf(claims["exp"]), notBeforeMs: msOf(claims["nbf"]) };
}
