// For tests: what the kernel says of a commit to nf_tables.
import { NFT_MSG } from "../src/core/netlink/nfnetlink.ts";
import { NetlinkWriter } from "../src/core/netlink/writer.ts";

const NFTA_GEN = { ID: 1, PROC_PID: 2, PROC_NAME: 3 } as const;

/** Who changes rules, as the kernel names them. */
export interface Writer {
  readonly pid: number;
  readonly program: string;
}

export function encodeNewGeneration(generation: number, { pid, program }: Writer, sequence: number): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type: NFT_MSG.NEWGEN, flags: 0, sequence }, () => {
    for (const byte of [0, 0, 0, 0]) writer.u8(byte);
    writer.attributeU32be(NFTA_GEN.ID, generation);
    writer.attributeU32be(NFTA_GEN.PROC_PID, pid);
    writer.attributeString(NFTA_GEN.PROC_NAME, program);
  });
  return writer.finish();
}
