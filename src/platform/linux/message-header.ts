// Memory layout of struct msghdr, struct iovec and struct cmsghdr on LP64 Linux (bits/socket.h), for descriptor passing.

import { addressOf } from "./libc.ts";
import { SOL_SOCKET } from "./socket-numbers.ts";

const SCM_RIGHTS = 1;
const MSGHDR_SIZE = 56;
const CMSGHDR_SIZE = 16;

/** A msghdr with one iovec and room for `maxDescriptors`; reusable, and it keeps everything it points at alive. */
export interface MessageHeader {
  readonly bytes: Uint8Array;
  /** Points the header at `data`, with the control part empty and ready to receive. */
  prepareReceive(data: Uint8Array): void;
  /** Points the header at `data` and attaches `descriptors`. */
  prepareSend(data: Uint8Array, descriptors: readonly number[]): void;
  /** After recvmsg: the descriptors that came, and msg_flags. */
  received(): { descriptors: number[]; flags: number };
}

export function createMessageHeader(maxDescriptors: number): MessageHeader {
  const bytes = new Uint8Array(MSGHDR_SIZE);
  const header = new DataView(bytes.buffer);
  const vector = new Uint8Array(16);
  const vectorView = new DataView(vector.buffer);
  const control = new Uint8Array(CMSGHDR_SIZE + 8 * Math.ceil((maxDescriptors * 4) / 8));
  const controlView = new DataView(control.buffer);
  const vectorAddress = addressOf(vector);
  const controlAddress = addressOf(control);
  let data: Uint8Array = new Uint8Array(0);

  const point = (at: Uint8Array, controlLength: number): void => {
    data = at;
    vectorView.setBigUint64(0, addressOf(data), true);
    vectorView.setBigUint64(8, BigInt(data.length), true);
    header.setBigUint64(16, vectorAddress, true);
    header.setBigUint64(24, 1n, true);
    header.setBigUint64(32, controlLength === 0 ? 0n : controlAddress, true);
    header.setBigUint64(40, BigInt(controlLength), true);
    header.setInt32(48, 0, true);
  };

  return {
    bytes,
    prepareReceive(at) {
      control.fill(0);
      point(at, control.length);
    },
    prepareSend(at, descriptors) {
      if (descriptors.length > maxDescriptors) {
        throw new RangeError(`Cannot send ${descriptors.length} descriptors: at most ${maxDescriptors} fit`);
      }
      control.fill(0);
      controlView.setBigUint64(0, BigInt(CMSGHDR_SIZE + descriptors.length * 4), true);
      controlView.setInt32(8, SOL_SOCKET, true);
      controlView.setInt32(12, SCM_RIGHTS, true);
      descriptors.forEach((fd, index) => {
        controlView.setInt32(CMSGHDR_SIZE + index * 4, fd, true);
      });
      point(at, descriptors.length === 0 ? 0 : CMSGHDR_SIZE + 8 * Math.ceil((descriptors.length * 4) / 8));
    },
    received() {
      const descriptors: number[] = [];
      const controlLength = Number(header.getBigUint64(40, true));
      for (let offset = 0; offset + CMSGHDR_SIZE <= controlLength; ) {
        const length = Number(controlView.getBigUint64(offset, true));
        if (length < CMSGHDR_SIZE || offset + length > controlLength) break;
        const isRights =
          controlView.getInt32(offset + 8, true) === SOL_SOCKET &&
          controlView.getInt32(offset + 12, true) === SCM_RIGHTS;
        for (let at = offset + CMSGHDR_SIZE; isRights && at + 4 <= offset + length; at += 4) {
          descriptors.push(controlView.getInt32(at, true));
        }
        offset += 8 * Math.ceil(length / 8);
      }
      return { descriptors, flags: header.getInt32(48, true) };
    },
  };
}
