/**
 * Where the agent finds a network namespace that a runtime names by a path of the host (contract 3.9, 7.5). Upstream knows
 * `/host` + path alone, which misses the same folder under its other name (`/run/netns`, baseline surprise 11).
 */

/** The host's root through its first process, where its `/proc` is mounted. */
const HOST_ROOT = "/host/proc/1/root";

/** Candidates in the order in which they are to be tried; `path` is absolute. */
export function hostNetnsPaths(path: string): readonly string[] {
  const names = [path];
  if (path.startsWith("/run/")) names.push(`/var${path}`);
  return [...names.map((name) => `/host${name}`), `${HOST_ROOT}${path}`];
}
