import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeTcpConnections, encodeGetTcpConnections, TCP_STATE } from "./inet-diag.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** What a kernel sends: one connection of IPv4 (inet_diag_msg) from 169.254.7.127:42682 to port 33429, then the end. */
function reply(payload: Uint8Array, type = 20): Uint8Array {
  const message = new Uint8Array(16 + payload.length + 20);
  const view = new DataView(message.buffer);
  view.setUint32(0, 16 + payload.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, 2, true);
  message.set(payload, 16);
  view.setUint32(16 + payload.length, 20, true);
  view.setUint16(16 + payload.length + 4, 3, true);
  return message;
}

function connection(family = 2): Uint8Array {
  const payload = new Uint8Array(72);
  const view = new DataView(payload.buffer);
  payload.set([family, 3, 1, 0]);
  view.setUint16(4, 33_429, false);
  view.setUint16(6, 42_682, false);
  payload.set([10, 77, 0, 2], 8);
  payload.set([169, 254, 7, 127], 24);
  return payload;
}

describe("encodeGetTcpConnections()", () => {
  it("asks for states and ports of one family", () => {
    const question = { localPort: 15_006, peerPort: 42_682, states: [TCP_STATE.established, TCP_STATE.synReceived] };
    const zeros = "00".repeat(36);
    assert.equal(
      hex(encodeGetTcpConnections(4, question)),
      `48000000140001030100000000000000020600000a0000003a9ea6ba${zeros}ffffffffffffffff`,
    );
    assert.equal(
      hex(encodeGetTcpConnections(6, { localPort: 1, states: [1] })).slice(32, 56),
      "0a0600000200000000010000",
    );
  });
});

describe("decodeTcpConnections()", () => {
  it("reads who is at the other end", () => {
    const peer = { family: 4, bytes: Uint8Array.of(169, 254, 7, 127) };
    assert.deepEqual(decodeTcpConnections(4, [reply(connection())]), [{ localPort: 33_429, peer, peerPort: 42_682 }]);
    const [six] = decodeTcpConnections(6, [reply(connection(10))]);
    assert.equal(six?.peer.bytes.length, 16);
  });

  it("reads a connection of IPv4 that a socket of IPv6 has as what it is", () => {
    const mapped = connection(10);
    mapped.set([...new Array<number>(10).fill(0), 255, 255, 10, 77, 0, 1], 24);
    const peer = { family: 4, bytes: Uint8Array.of(10, 77, 0, 1) };
    assert.deepEqual(decodeTcpConnections(6, [reply(mapped)]), [{ localPort: 33_429, peer, peerPort: 42_682 }]);
  });

  it("passes over the other family and other messages, and refuses what is cut short", () => {
    assert.deepEqual(decodeTcpConnections(6, [reply(connection())]), []);
    assert.deepEqual(decodeTcpConnections(4, [reply(connection(), 99)]), []);
    assert.throws(() => decodeTcpConnections(4, [reply(connection().subarray(0, 64))]), /message of 64 bytes/);
    assert.throws(() => decodeTcpConnections(4, []), /without its end mark/);
  });

  it("tells that the kernel does not answer such questions", () => {
    const refusal = new Uint8Array(20);
    new DataView(refusal.buffer).setInt32(0, -2, true);
    assert.throws(() => decodeTcpConnections(4, [reply(refusal, 2)]), /errno 2/);
  });
});
