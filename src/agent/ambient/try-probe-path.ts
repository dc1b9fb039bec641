// One try of the way that probes take: for a moment a listener of ours stands on an address of an enrolled pod, on a port that
// nobody uses, and the node connects to it as its kubelet would. The application gets no traffic, sockets and their traces are
// gone afterwards, and everything waits in the event loop, for a second at most. What it means is decided in core/policy.
import type { Family, IpAddress } from "../../core/address.ts";
import { codeOf, messageOf } from "../../core/error-message.ts";
import {
  decodeTcpConnections,
  encodeGetTcpConnections,
  SOCK_DIAG_PROTOCOL,
  TCP_STATE,
  type TcpConnection,
  type TcpQuestion,
} from "../../core/netlink/inet-diag.ts";
import type { ProbeEvidence } from "../../core/policy/probe-self-test.ts";
import { AMBIENT_PORTS } from "../../core/rules/ambient-numbers.ts";
import { isSameBytes } from "../../core/same-bytes.ts";
import type { Clock } from "../../platform/clock.ts";
import type { NetlinkSocket } from "../../platform/linux/netlink-socket.ts";
import type { Interest } from "../../platform/linux/poller.ts";
import type { TcpArrival, TcpClient, TcpListener } from "../../platform/linux/tcp-socket.ts";

export interface ProbePathDeps {
  listenTcp(netnsFd: number, address: IpAddress): TcpListener;
  connectTcp(netnsFd: number, address: IpAddress, port: number): TcpClient;
  openNetlink(protocol: number, netnsFd: number): NetlinkSocket;
  watch(fd: number, interest: Interest, onReady: () => void): Disposable & { want(interest: Interest): void };
  /** So many bytes that nobody can guess. */
  randomBytes(count: number): Uint8Array;
  readonly clock: Clock;
}

export interface ProbePathOptions {
  /** For all of it. @default 1000 */
  readonly timeoutMs?: number;
}

/** A connection reaches our listener at once; when it has not by now, the namespace is asked who got it, or who knocked. */
const SETTLE_MS = 100;

const READABLE = { readable: true, writable: false } as const;
const WRITABLE = { readable: true, writable: true } as const;
const TOKEN_BYTES = 16;
/** Whoever else may connect to a listener that stands for milliseconds. */
const MAX_ARRIVALS = 16;
/** Of connections that ztunnel has, also when it is about to close them. */
const TAKEN = [TCP_STATE.established, TCP_STATE.finWait1, TCP_STATE.finWait2, TCP_STATE.closeWait];

/**
 * Both descriptors are used before this returns to its caller, and not afterwards.
 * Rejects with the signal's reason only.
 */
export async function tryProbePath(
  deps: ProbePathDeps,
  { podNetnsFd, nodeNetnsFd, address }: { podNetnsFd: number; nodeNetnsFd: number; address: IpAddress },
  signal: AbortSignal,
  options: ProbePathOptions = {},
): Promise<ProbeEvidence> {
  const { timeoutMs = 1000 } = options;
  signal.throwIfAborted();
  using ends = new DisposableStack();
  let listener: TcpListener;
  let questions: NetlinkSocket;
  try {
    listener = ends.use(deps.listenTcp(podNetnsFd, address));
    // Opened now: the pod may be gone by the time it is needed.
    questions = ends.use(deps.openNetlink(SOCK_DIAG_PROTOCOL, podNetnsFd));
  } catch (error) {
    return { kind: "untried", problem: messageOf(error) };
  }
  let client: TcpClient;
  try {
    client = ends.use(deps.connectTcp(nodeNetnsFd, address, listener.port));
  } catch (error) {
    const code = codeOf(error) ?? "";
    return REFUSALS.has(code) ? { kind: "refused", code } : { kind: "untried", problem: messageOf(error) };
  }
  const token = deps.randomBytes(TOKEN_BYTES);
  const visit = {
    isConnected: false,
    isClosed: false,
    isSent: false,
    arrivals: 0,
    found: undefined as TcpArrival | undefined,
  };
  let refusal: string | undefined;
  let problem: string | undefined;
  let taker: IpAddress | undefined;
  let knocker: IpAddress | undefined | "unknown";
  let nextLookMs = SETTLE_MS;
  let news = Promise.withResolvers<void>();
  const tell = (): void => news.resolve();

  const clientWatch = ends.use(
    deps.watch(client.fd, WRITABLE, () => {
      try {
        advanceClient();
      } catch (error) {
        problem = messageOf(error);
      }
      tell();
    }),
  );
  ends.use(
    deps.watch(listener.fd, READABLE, () => {
      try {
        acceptWaiting();
      } catch (error) {
        problem = messageOf(error);
      }
      tell();
    }),
  );

  const startMs = deps.clock.nowMs();
  const timer = new AbortController();
  try {
    for (;;) {
      if (visit.found !== undefined) return judgeArrival(visit.found);
      if (problem !== undefined) return { kind: "untried", problem };
      if (refusal !== undefined) return { kind: "refused", code: refusal };
      const elapsedMs = deps.clock.nowMs() - startMs;
      if (visit.isConnected && (elapsedMs >= SETTLE_MS || visit.isClosed)) taker ??= whoIsTaken();
      // It was answered, and by somebody else: who has closed will not pass it on any more, nor who refuses to.
      if (visit.isConnected && (visit.isClosed || elapsedMs >= timeoutMs))
        return { kind: "intercepted", source: taker };
      // Not at the end only: a kernel that cannot send its answers forgets after a second who asked, until he asks again.
      if (!visit.isConnected && elapsedMs >= Math.min(nextLookMs, timeoutMs)) {
        knocker ??= whoKnocks();
        nextLookMs = 2 * elapsedMs;
      }
      if (elapsedMs >= timeoutMs) return { kind: "silent", source: knocker };
      news = Promise.withResolvers<void>();
      const untilMs = visit.isConnected && elapsedMs >= SETTLE_MS ? timeoutMs : Math.min(nextLookMs, timeoutMs);
      const waiting = deps.clock.sleep(untilMs - elapsedMs, AbortSignal.any([signal, timer.signal]));
      await Promise.race([news.promise, waiting.catch(() => undefined)]);
      signal.throwIfAborted();
    }
  } finally {
    timer.abort("over");
  }

  function advanceClient(): void {
    if (!visit.isConnected) {
      refusal = client.error();
      if (refusal !== undefined) {
        clientWatch[Symbol.dispose]();
        return;
      }
      visit.isConnected = true;
      clientWatch.want(READABLE);
      if (visit.arrivals > 0) sendToken();
    }
    // Nobody has anything to say to us; what is said is not listened to.
    if (client.receive(new Uint8Array(64)) === undefined) return;
    visit.isClosed = true;
    clientWatch[Symbol.dispose]();
  }

  /** Ours is the connection that brings the token. */
  function acceptWaiting(): void {
    for (; visit.arrivals < MAX_ARRIVALS; visit.arrivals++) {
      const arrival = listener.accept();
      if (arrival === undefined) return;
      sendToken();
      ends.use(arrival);
      const heard = new Uint8Array(TOKEN_BYTES);
      const watch = ends.use(
        deps.watch(arrival.fd, READABLE, () => {
          const length = arrival.receive(heard);
          if (length === undefined) return;
          watch[Symbol.dispose]();
          if (length === TOKEN_BYTES && isSameBytes(heard, token)) visit.found = arrival;
          else arrival[Symbol.dispose]();
          tell();
        }),
      );
    }
    problem = "too many others connect to the port of the test";
  }

  /** Not before somebody is there to hear it: who closes a connection with words in it that he did not read breaks it off, and
   * then nobody knows any more who he was. */
  function sendToken(): void {
    if (visit.isSent) return;
    try {
      visit.isSent = client.send(token);
    } catch {
      // It broke off; its own watch tells.
      visit.isSent = true;
    }
  }

  /** The source's port stays ours on a straight way. Where it does not, somebody may have translated it, or ztunnel may have
   * taken the connection and made one of its own, under its client's address. */
  function judgeArrival({ peer, peerPort }: TcpArrival): ProbeEvidence {
    const between = peerPort === client.port ? undefined : (taker ?? whoIsTaken());
    return between === undefined ? { kind: "arrived", source: peer } : { kind: "intercepted", source: between };
  }

  /** For whom ztunnel's end of our connection takes us; undefined: it has none, or has it no more. */
  function whoIsTaken(): IpAddress | undefined {
    const [taken] = ask({ localPort: AMBIENT_PORTS.inbound, peerPort: client.port, states: TAKEN }) ?? [];
    return taken?.peer;
  }

  /** Who has begun to connect to our port and did not get, or did not acknowledge, the answer. */
  function whoKnocks(): IpAddress | undefined | "unknown" {
    const knocking = ask({ localPort: listener.port, states: [TCP_STATE.synReceived] });
    if (knocking === undefined) return "unknown";
    return (knocking.find(({ peerPort }) => peerPort === client.port) ?? knocking[0])?.peer;
  }

  /** Undefined: the kernel does not answer such questions. Who listens for both families at once, as ztunnel does, has sockets of
   * IPv6 for connections of IPv4 too. */
  function ask(question: TcpQuestion): TcpConnection[] | undefined {
    const own = askOf(address.family, question);
    const others = own === undefined || address.family === 6 ? [] : (askOf(6, question) ?? []);
    return own && [...own, ...others].filter(({ peer }) => peer.family === address.family);
  }

  function askOf(family: Family, question: TcpQuestion): TcpConnection[] | undefined {
    try {
      questions.send(encodeGetTcpConnections(family, question));
      return decodeTcpConnections(family, replies());
    } catch {
      return undefined;
    }
  }

  function* replies(): Generator<Uint8Array> {
    for (let reply = questions.receive(); reply !== undefined; reply = questions.receive()) yield reply;
  }
}

/** What the network itself says no with at once. */
const REFUSALS: ReadonlySet<string> = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPERM"]);
