// Signed statements: in-toto Statement v1 in a DSSE envelope, carried as a Sigstore bundle v0.3. With a key and node:crypto
// alone; nothing is sent anywhere.
import { createPublicKey, type KeyObject, sign } from "node:crypto";
import { hashOf } from "../inputs/cache.ts";

export const BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE = "application/vnd.in-toto+json";

export interface Statement {
  readonly subjectName: string;
  /** Digest of the manifest, `sha256:…`. */
  readonly subjectDigest: string;
  readonly predicateType: string;
  readonly predicate: unknown;
}

/** A bundle as JSON bytes. ECDSA signatures have a random part: two bundles of one statement differ. */
export function signStatement(
  { subjectName, subjectDigest, predicateType, predicate }: Statement,
  key: KeyObject,
): Uint8Array {
  const statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: subjectName, digest: { sha256: subjectDigest.replace("sha256:", "") } }],
    predicateType,
    predicate,
  };
  const payload = Buffer.from(JSON.stringify(statement));
  const signature = sign("sha256", preAuthenticationEncoding(PAYLOAD_TYPE, payload), key);
  const bundle = {
    mediaType: BUNDLE_TYPE,
    verificationMaterial: { publicKey: { hint: keyHint(key) } },
    dsseEnvelope: {
      payload: payload.toString("base64"),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: signature.toString("base64") }],
    },
  };
  return Buffer.from(JSON.stringify(bundle));
}

/** DSSE protocol 1.0.2: what is signed is type and body with their lengths. */
export function preAuthenticationEncoding(type: string, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.length} `), body]);
}

/** Tells keys apart; says nothing of trust. */
function keyHint(key: KeyObject): string {
  return Buffer.from(hashOf(createPublicKey(key).export({ type: "spki", format: "der" })), "hex").toString("base64");
}
