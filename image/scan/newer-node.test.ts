import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNodeChangelog, readOwnNodeChangelog, updateOf } from "./newer-node.ts";

const TEXT = `# Node.js 26 ChangeLog

<a id="26.12.0"></a>

## 2026-10-14, Version 26.12.0 (Current), @somebody

* (CVE-2026-12345) http: something – High
* \\[[\`1\`](x)] - **(CVE-2026-12345)** **http**: something
* \\[[\`2\`](x)] - **deps**: upgrade openssl sources to openssl-3.5.9 (Bot)
* \\[[\`3\`](x)] - **deps**: update zlib to 1.3.2.1-motley-456ae73 (Bot)
* \\[[\`4\`](x)] - **deps**: update undici to 8.11.3 (Bot)
* \\[[\`5\`](x)] - **deps**: update undici to 8.11.2 (Bot)

## 2026-09-22, Version 26.10.0 (Current), @somebody

* \\[[\`6\`](x)] - **deps**: update c-ares to 1.34.8 (Bot)
`;

test("parseNodeChangelog() reads releases, their days, what they fix and what they update", () => {
  const [newest, ours] = parseNodeChangelog(TEXT);
  assert.deepEqual([newest?.version, newest?.date.toISOString()], ["26.12.0", "2026-10-14T00:00:00.000Z"]);
  assert.deepEqual(newest?.ids, ["CVE-2026-12345"]);
  assert.deepEqual(Object.fromEntries(newest?.updates ?? []), { undici: "8.11.3", zlib: "1.3.2.1", openssl: "3.5.9" });
  assert.deepEqual(Object.fromEntries(ours?.updates ?? []), { "c-ares": "1.34.8" });
});

test("updateOf() knows what releases after ours bring, by the names that Node itself uses", () => {
  const releases = parseNodeChangelog(TEXT);
  assert.equal(updateOf(releases, "26.10.0", "openssl"), "3.5.9");
  assert.equal(updateOf(releases, "26.10.0", "ares"), undefined);
  assert.equal(updateOf(releases, "26.9.0", "ares"), "1.34.8");
  assert.equal(updateOf(releases, "26.12.0", "openssl"), undefined);
});

test("parseNodeChangelog() refuses a text without releases", () => {
  assert.throws(() => parseNodeChangelog("# Node.js 26 ChangeLog\n"), /no release/);
});

test("the pinned Node came with a changelog that names it", () => {
  assert.equal(readOwnNodeChangelog()[0]?.version, process.versions.node);
});
