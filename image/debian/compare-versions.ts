// Debian's order of versions (deb-version(7)).

/** Below zero when `a` is older than `b`, above when newer, zero when the archive takes them for the same. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [splitVersion(a), splitVersion(b)];
  return (
    left.epoch - right.epoch ||
    compareParts(left.upstream, right.upstream) ||
    compareParts(left.revision, right.revision)
  );
}

/** The upstream's part of a version, without what Debian adds to say that it repacked the source.
 * After `+really` stands the version that it is in truth. */
export function upstreamOf(version: string): string {
  const { upstream } = splitVersion(version);
  return (/\+really(.*)$/.exec(upstream)?.[1] ?? upstream).replace(/[+~.]?(dfsg|ds|repack)[\d.]*.*$/, "");
}

function splitVersion(version: string): {
  readonly epoch: number;
  readonly upstream: string;
  readonly revision: string;
} {
  const [, epoch = "0", rest = ""] = /^(?:(\d+):)?(.*)$/.exec(version) ?? [];
  const dash = rest.lastIndexOf("-");
  return {
    epoch: Number(epoch),
    upstream: dash === -1 ? rest : rest.slice(0, dash),
    revision: dash === -1 ? "" : rest.slice(dash + 1),
  };
}

/** Text and numbers by turns: text by its own order of characters, numbers as numbers. */
function compareParts(a: string, b: string): number {
  const [left, right] = [a.match(/\D+|\d+/g) ?? [], b.match(/\D+|\d+/g) ?? []].map(startWithText) as [
    string[],
    string[],
  ];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const [x, y] = [left[index] ?? "", right[index] ?? ""];
    const order = index % 2 === 0 ? compareText(x, y) : compareNumbers(x, y);
    if (order !== 0) return order;
  }
  return 0;
}

function startWithText(parts: readonly string[]): string[] {
  return /^\d/.test(parts[0] ?? "") ? ["", ...parts] : [...parts];
}

function compareText(a: string, b: string): number {
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const order = weightOf(a[index]) - weightOf(b[index]);
    if (order !== 0) return order;
  }
  return 0;
}

/** A tilde comes before the end, the end before letters, letters before everything else. */
function weightOf(character: string | undefined): number {
  if (character === undefined) return 0;
  if (character === "~") return -1;
  const code = character.charCodeAt(0);
  return /[A-Za-z]/.test(character) ? code : code + 256;
}

function compareNumbers(a: string, b: string): number {
  const difference = BigInt(a || "0") - BigInt(b || "0");
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
