import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { renderVersion } from "./version.ts";

const BUILD = { version: "0.1.0", revision: "abc", status: "Clean", tag: "0.1.0-d13", runtime: "v26.10.0" };

describe("renderVersion()", () => {
  it("tells the long and the short form in upstream's words", () => {
    assert.equal(renderVersion(BUILD, { short: false, output: "text" }), "client version: 0.1.0-abc-Clean\n");
    assert.equal(renderVersion(BUILD, { short: true, output: "text" }), "client version: 0.1.0\n");
  });

  it("tells the fields of upstream's JSON and YAML", () => {
    const { clientVersion } = JSON.parse(renderVersion(BUILD, { short: false, output: "json" })) as {
      clientVersion: Record<string, string>;
    };
    assert.deepEqual(Object.keys(clientVersion), ["version", "revision", "golang_version", "status", "tag"]);
    assert.equal(
      renderVersion(BUILD, { short: false, output: "yaml" }),
      'clientVersion:\n  golang_version: "v26.10.0"\n  revision: "abc"\n  status: "Clean"\n  tag: "0.1.0-d13"\n  version: "0.1.0"\n',
    );
  });
});
