import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CniError, MAX_CNI_MESSAGE_LENGTH, renderCniError, toCniError } from "./cni-error.ts";

describe("renderCniError()", () => {
  it("renders version, code, msg and details", () => {
    const error = new CniError("tryAgainLater", "Cannot add pod a/b: the agent is away", { details: "line" });
    assert.deepEqual(JSON.parse(renderCniError(error, "1.1.0")), {
      cniVersion: "1.1.0",
      code: 11,
      msg: "Cannot add pod a/b: the agent is away",
      details: "line",
    });
  });

  it("leaves out details when empty and the version when unknown", () => {
    assert.equal(renderCniError(new CniError("decodingFailure", "x")), '{\n    "code": 6,\n    "msg": "x"\n}\n');
  });

  it("shows what a terminal would obey, or what turns the direction of writing, instead of passing it on", () => {
    const { msg } = JSON.parse(renderCniError(new CniError("internal", "a\u001b[31m\u009b1m\u202eb"))) as {
      msg: string;
    };
    assert.equal(msg, "a\\u{1b}[31m\\u{9b}1m\\u{202e}b");
  });

  it("cuts a message that is too long", () => {
    const rendered: unknown = JSON.parse(renderCniError(new CniError("internal", "x".repeat(100_000))));
    assert.ok(
      typeof rendered === "object" && rendered !== null && "msg" in rendered && typeof rendered.msg === "string",
    );
    assert.equal(rendered.msg.length, MAX_CNI_MESSAGE_LENGTH);
  });
});

describe("toCniError()", () => {
  it("gives a CniError back as it is", () => {
    const error = new CniError("ioFailure", "x");
    assert.equal(toCniError(error), error);
  });

  it("turns any other failure into code 999 and keeps it as cause", () => {
    const cause = new TypeError("broken");
    const error = toCniError(cause);
    assert.deepEqual([error.code, error.message, error.cause], [999, "broken", cause]);
  });

  it("has a message for a failure without one", () => {
    assert.equal(toCniError(new Error("")).message, "unknown error");
    assert.equal(toCniError("text").message, "text");
  });
});
