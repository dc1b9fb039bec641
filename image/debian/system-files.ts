// Files that no package brings and a system without maintainer scripts needs: users, name services, the links that
// update-alternatives would make.

/** The user an image runs as unless told otherwise, as in other minimal images. */
export const NON_ROOT = 65532;

/** Users and groups that have a name in the runtime image. Nobody can log in: there is no shell, and
 * no password. */
export const RUNTIME_PASSWD = [
  "root:x:0:0:root:/:/usr/sbin/nologin",
  "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin",
  `nonroot:x:${NON_ROOT}:${NON_ROOT}:nonroot:/:/usr/sbin/nologin`,
  "",
].join("\n");

/** No password for anybody of /etc/passwd, said where tools look for it; `nobody` ends the list, as the hardened
 * catalogue's profile wants it. */
export function renderShadow(passwd: string): string {
  const names = [...passwd.matchAll(/^([^:\n]+):/gm)].map(([, name = ""]) => name);
  return [...names.filter((name) => name !== "nobody"), "nobody"].map((name) => `${name}:*:::::::\n`).join("");
}

export const RUNTIME_GROUP = ["root:x:0:", "nogroup:x:65534:", `nonroot:x:${NON_ROOT}:`, ""].join("\n");

/** Users and groups are looked up in files and nowhere else: `iptables -m owner` asks for the name of every number, and
 * upstream waited there for a name service (D29). Host names: files, then DNS. */
export const NSSWITCH = [
  "passwd: files",
  "group: files",
  "shadow: files",
  "hosts: files dns",
  "networks: files",
  "protocols: files",
  "services: files",
  "",
].join("\n");

/** iptables is nf_tables', as Debian's default alternative; the legacy programs are there under their own names. */
export const IPTABLES_LINKS: readonly (readonly [path: string, target: string])[] = ["iptables", "ip6tables"].flatMap(
  (name) => ["", "-save", "-restore"].map((suffix) => [`usr/sbin/${name}${suffix}`, `${name}-nft${suffix}`] as const),
);

/** What update-alternatives and maintainer scripts would link in a dev image. */
export const DEV_LINKS: readonly (readonly [path: string, target: string])[] = [
  ...IPTABLES_LINKS,
  ["usr/bin/awk", "mawk"],
];
