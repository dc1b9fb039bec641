// For tests: what the kernel says of a commit to nf_tables, and a pod as the API server has it.
import { type Pod, parsePod } from "../../core/kube/pod.ts";
import { NFT_MSG } from "../../core/netlink/nfnetlink.ts";
import { NetlinkWriter } from "../../core/netlink/writer.ts";

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

/** Injected, and running. */
export function parseSidecarPod(name: string, annotations: Readonly<Record<string, string>> = {}): Pod {
  return parsePod({
    metadata: {
      uid: `uid-of-${name}`,
      name,
      namespace: "shop",
      resourceVersion: "1",
      annotations: { "sidecar.istio.io/status": "{}", ...annotations },
    },
    spec: { containers: [{ name: "app" }, { name: "istio-proxy", args: ["proxy", "sidecar"] }] },
    status: { phase: "Running" },
  });
}
