import assert from "node:assert/strict";
import { test } from "node:test";
import { createWatchFrames } from "./watch-frames.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const texts = (lines: Uint8Array[] | undefined): string[] | undefined =>
  lines?.map((line) => new TextDecoder().decode(line));

test("createWatchFrames() gives the same lines however the bytes are cut", () => {
  const stream = bytes('{"a":"é"}\n\n{"b":2}\r\n\r\n{"c":3}\n');
  for (let size = 1; size <= stream.length; size += 1) {
    const frames = createWatchFrames(100);
    const lines: string[] = [];
    for (let at = 0; at < stream.length; at += size)
      lines.push(...(texts(frames.push(stream.subarray(at, at + size))) ?? ["lost"]));
    assert.deepEqual(lines, ['{"a":"é"}', '{"b":2}', '{"c":3}'], `cut into ${size}`);
    assert.equal(frames.pendingBytes(), 0);
  }
});

test("createWatchFrames() tells of a line that has not ended", () => {
  const frames = createWatchFrames(100);
  assert.deepEqual(texts(frames.push(bytes('{}\n{"half'))), ["{}"]);
  assert.equal(frames.pendingBytes(), 6);
});

test("createWatchFrames() passes a line of the bound and loses the stream at one byte more", () => {
  const frames = createWatchFrames(4);
  assert.deepEqual(texts(frames.push(bytes("1234\n12"))), ["1234"]);
  assert.deepEqual(texts(frames.push(bytes("34\n"))), ["1234"]);
  assert.equal(frames.push(bytes("12345")), undefined);
  assert.equal(frames.push(bytes("\n1\n")), undefined, "framing is gone for good");
  assert.equal(frames.pendingBytes(), 0, "and nothing is held any more");
});

test("createWatchFrames() keeps lines apart that were handed out earlier", () => {
  const frames = createWatchFrames(100);
  frames.push(bytes("ab"));
  const first = frames.push(bytes("c\nde"));
  const second = frames.push(bytes("f\n"));
  assert.deepEqual([texts(first), texts(second)], [["abc"], ["def"]]);
});
