// Which packet is to be traced: read from texts, on the command line and on the admin socket alike, and written as the latter
// wants it. What is left open is filled in by what the namespace holds (trace-pod.ts).

import { type IpAddress, parseIpAddress } from "../address.ts";
import { MAX_OWNER_ID, type Protocol } from "../rules/model.ts";
import { quoteText } from "../short-text.ts";

/** As given; each is the flag of that name. */
export type TraceTexts = {
  readonly in: boolean;
  readonly udp: boolean;
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly port: string | undefined;
  readonly uid: string | undefined;
  readonly gid: string | undefined;
  readonly mark: string | undefined;
};

/** The first packet of a connection. */
export type TraceQuery = {
  readonly protocol: Protocol;
  readonly family: 4 | 6;
  readonly sport: number;
  readonly dport: number;
} & (
  | {
      readonly direction: "outbound";
      readonly destination: IpAddress;
      /** Undefined: the one the kernel chooses. */
      readonly source: IpAddress | undefined;
      readonly owner: { readonly uid: number; readonly gid: number };
      readonly mark: number;
    }
  | {
      readonly direction: "inbound";
      readonly source: IpAddress;
      /** Undefined: the pod's first address of the family. */
      readonly destination: IpAddress | undefined;
    }
);

/** What is wrong with one of the texts. */
export type TraceProblem = { readonly option: keyof TraceTexts; readonly message: string };

/** One as a kernel takes for a new connection. */
const SOME_PORT = 40000;
const NAMES = ["to", "from", "port", "uid", "gid", "mark"] as const;
const MAX_TEXT = 80;

export function parseTraceQuery(texts: TraceTexts): TraceQuery | TraceProblem {
  const to = parseEnd(texts.to);
  const from = parseEnd(texts.from);
  const port = texts.port === undefined ? undefined : parsePort(texts.port);
  const [wantedTo, wantedFrom] = texts.in ? ["IP", "IP or IP:PORT"] : ["IP:PORT", "IP or IP:PORT"];
  if (to === "malformed") return malformed("to", texts, wantedTo);
  if (from === "malformed") return malformed("from", texts, wantedFrom);
  if (port === "malformed") return malformed("port", texts, PORT_ACCEPTED);
  if (to !== undefined && from !== undefined && to.ip.family !== from.ip.family) {
    return { option: "from", message: "Cannot trace: --from and --to are of different address families" };
  }
  const base = { protocol: texts.udp ? "udp" : "tcp", sport: from?.port ?? SOME_PORT } as const;
  if (texts.in) {
    const alien = (["uid", "gid", "mark"] as const).find((name) => texts[name] !== undefined);
    if (alien !== undefined) {
      return {
        option: alien,
        message: `Cannot trace: --${alien} is of what the pod sends, not of what comes in (--in)`,
      };
    }
    if (from === undefined)
      return { option: "from", message: "Cannot trace what comes in: from where is not told; accepted: --from IP" };
    const dport = port ?? to?.port;
    if (dport === undefined || (port !== undefined && to?.port !== undefined)) {
      return {
        option: "port",
        message: "Cannot trace what comes in: to which port is not told, or twice; accepted: --port PORT",
      };
    }
    return { ...base, direction: "inbound", family: from.ip.family, dport, source: from.ip, destination: to?.ip };
  }
  if (port !== undefined)
    return { option: "port", message: "Cannot trace: --port is for what comes in (--in); accepted: --to IP:PORT" };
  if (to === undefined)
    return {
      option: "to",
      message: "Cannot trace: to where is not told; accepted: --to IP:PORT, or --in --from IP --port PORT",
    };
  if (to.port === undefined) return malformed("to", texts, wantedTo);
  const numbers = { uid: 0, gid: 0, mark: 0 };
  for (const [name, max] of [
    ["uid", MAX_OWNER_ID],
    ["gid", MAX_OWNER_ID],
    ["mark", 0xffff_ffff],
  ] as const) {
    const number = texts[name] === undefined ? 0 : parseNumber(texts[name], max);
    if (number === undefined) return malformed(name, texts, `a number from 0 to ${max}, in hexadecimal too (0x539)`);
    numbers[name] = number;
  }
  const { uid, gid, mark } = numbers;
  return {
    ...base,
    direction: "outbound",
    family: to.ip.family,
    dport: to.port,
    destination: to.ip,
    source: from?.ip,
    owner: { uid, gid },
    mark,
  };
}

/** For the query of a URL. */
export function renderTraceTexts(texts: TraceTexts): string {
  const given = NAMES.flatMap((name) =>
    texts[name] === undefined ? [] : [`${name}=${encodeURIComponent(texts[name])}`],
  );
  return [...(texts.in ? ["in=true"] : []), ...(texts.udp ? ["udp=true"] : []), ...given].join("&");
}

/** Out of the query of a URL; `get` as URLSearchParams has it. */
export function readTraceTexts(query: { get(name: string): string | null }): TraceTexts {
  const text = (name: string): string | undefined => query.get(name) ?? undefined;
  const [to, from, port, uid, gid, mark] = NAMES.map(text);
  return { in: text("in") === "true", udp: text("udp") === "true", to, from, port, uid, gid, mark };
}

const PORT_ACCEPTED = "a port from 1 to 65535";

function malformed(option: (typeof NAMES)[number], texts: TraceTexts, accepted: string): TraceProblem {
  const text = quoteText(texts[option] ?? "", MAX_TEXT);
  return { option, message: `Cannot use --${option} ${text}: accepted is ${accepted}` };
}

/** "10.0.0.1", "10.0.0.1:80", "fd00::1", "[fd00::1]:80". */
function parseEnd(text: string | undefined): { ip: IpAddress; port: number | undefined } | "malformed" | undefined {
  if (text === undefined) return undefined;
  if (text.length > MAX_TEXT) return "malformed";
  const alone = parseIpAddress(text);
  if (alone !== undefined) return { ip: alone, port: undefined };
  const [, bracketed, plain, digits = ""] = /^(?:\[([^\]]+)\]|([^:]+)):([^:]+)$/.exec(text) ?? [];
  const ip = parseIpAddress(bracketed ?? plain ?? "");
  const port = parsePort(digits);
  const isFitting = ip !== undefined && (ip.family === 6) === (bracketed !== undefined);
  return isFitting && port !== "malformed" ? { ip, port } : "malformed";
}

function parsePort(text: string): number | "malformed" {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 0xffff ? port : "malformed";
}

function parseNumber(text: string, max: number): number | undefined {
  const number = /^(?:[0-9]{1,10}|0x[0-9a-fA-F]{1,8})$/.test(text) ? Number(text) : Number.NaN;
  return number <= max ? number : undefined;
}
