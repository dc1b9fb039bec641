import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { either, exactly, FLAG, listOf, NUMBER, object, oneOf, orNull, ShapeError, TEXT } from "./shape.ts";

const POD = object({ name: TEXT, ports: listOf(NUMBER), state: oneOf(["a", "b"]), note: orNull(TEXT) });

function assertRefused(read: () => unknown, message: string): void {
  assert.throws(read, (error: unknown) => error instanceof ShapeError && error.message === message);
}

describe("a shape", () => {
  it("reads what fits and leaves out what it does not know", () => {
    const value = { name: "web", ports: [1, 2], state: "a", note: null, later: true };
    assert.deepEqual(POD.read(value, ""), { name: "web", ports: [1, 2], state: "a", note: null });
  });

  it("names the place and what is expected there", () => {
    const good = { name: "web", ports: [1], state: "a", note: null };
    const read = (change: object) => () => object({ pods: listOf(POD) }).read({ pods: [{ ...good, ...change }] }, "");
    assertRefused(read({ ports: [1, "2"] }), "Cannot read the document: pods[0].ports[1] is not a number");
    assertRefused(read({ state: "c" }), "Cannot read the document: pods[0].state is not one of a, b");
    assertRefused(read({ note: 1 }), "Cannot read the document: pods[0].note is not a text");
    assertRefused(read({ ports: {} }), "Cannot read the document: pods[0].ports is not a list");
    for (const value of [undefined, null, [], "text", 1]) {
      assertRefused(() => POD.read(value, ""), "Cannot read the document: it is not an object");
    }
  });

  it("counts a key that is missing, or only inherited, as absent", () => {
    assertRefused(() => object({ name: TEXT }).read({}, ""), "Cannot read the document: name is not a text");
    assert.throws(() => object({ toString: TEXT }).read({}, ""), ShapeError);
  });

  it("takes either of two", () => {
    const shape = either(object({ kind: exactly("one"), a: TEXT }), object({ kind: exactly("two"), b: FLAG }));
    assert.deepEqual(shape.read({ kind: "one", a: "x" }, ""), { kind: "one", a: "x" });
    assert.deepEqual(shape.read({ kind: "two", b: true }, ""), { kind: "two", b: true });
    assertRefused(() => shape.read({ kind: "three" }, "x"), 'Cannot read the document: x.kind is not "two"');
  });
});
