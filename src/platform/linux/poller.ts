// Tells when descriptors that Node cannot watch become readable or writable: one epoll set, awaited by one libuv pool
// thread, for the plugin socket, ZDS and netlink monitors together.
import { checked, closeFd, epollCreate, epollCtl, epollWait, eventfd, write } from "./libc.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EFD_CLOEXEC_NONBLOCK = 0o2004000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 0x1;
const EPOLLOUT = 0x4;
const EVENT_CAPACITY = 64;
/** struct epoll_event is packed on x86-64 only (sys/epoll.h). */
const EVENT_SIZE = process.arch === "x64" ? 12 : 16;
const DATA_OFFSET = EVENT_SIZE - 8;
/** Only a bound: the wait ends at once when something happens or the poller is closed. */
const WAIT_MS = 3_600_000;

export interface Interest {
  readonly readable: boolean;
  readonly writable: boolean;
}

export interface Watch extends Disposable {
  /** Changes what is waited for. */
  want(interest: Interest): void;
}

export interface Poller extends Disposable {
  /** Calls `onReady` whenever `fd` is ready (level-triggered; errors and hang-ups count as readable). Dispose the watch
   * before the descriptor is closed. @throws {ErrnoError} */
  watch(fd: number, interest: Interest, onReady: () => void): Watch;
  /** Ends the waiting; nothing is called afterwards. */
  close(): Promise<void>;
}

/** Starts to wait. `onError` gets what a callback throws: one bad connection must not end the others. */
export function createPoller(onError: (error: unknown) => void): Poller {
  const epoll = checked("epoll_create1", "make an epoll set", () => epollCreate(EPOLL_CLOEXEC));
  const wake = checked("eventfd", "make an eventfd", () => eventfd(0, EFD_CLOEXEC_NONBLOCK));
  const callbacks = new Map<number, () => void>();
  const events = new Uint8Array(EVENT_SIZE * EVENT_CAPACITY);
  const view = new DataView(events.buffer);
  let nextToken = 1;
  let isOpen = true;

  const control = (operation: number, fd: number, interest: Interest, token: number): void => {
    const event = new Uint8Array(EVENT_SIZE);
    const eventView = new DataView(event.buffer);
    eventView.setUint32(0, (interest.readable ? EPOLLIN : 0) | (interest.writable ? EPOLLOUT : 0), true);
    eventView.setUint32(DATA_OFFSET, token, true);
    checked("epoll_ctl", `watch descriptor ${fd}`, () => epollCtl(epoll, operation, fd, event));
  };

  const wakeUp = (): void => {
    write(wake, new Uint8Array(new BigUint64Array([1n]).buffer), 8);
  };
  control(EPOLL_CTL_ADD, wake, { readable: true, writable: false }, 0);

  const loop = async (): Promise<void> => {
    while (isOpen) {
      const count = await epollWait(epoll, events, EVENT_CAPACITY, WAIT_MS);
      // Tokens are read first: a callback may dispose another's watch, and its token then finds nobody.
      const tokens: number[] = [];
      for (let index = 0; index < count; index++) tokens.push(view.getUint32(index * EVENT_SIZE + DATA_OFFSET, true));
      for (const token of tokens) {
        if (!isOpen) break;
        try {
          callbacks.get(token)?.();
        } catch (error) {
          onError(error);
        }
      }
    }
  };
  const running = loop().catch(onError);
  // A pool thread inside epoll_wait would keep the process from ending.
  process.once("exit", wakeUp);

  const close = async (): Promise<void> => {
    if (!isOpen) return running;
    isOpen = false;
    callbacks.clear();
    wakeUp();
    await running;
    process.removeListener("exit", wakeUp);
    closeFd(epoll);
    closeFd(wake);
  };

  return {
    watch(fd, interest, onReady) {
      const token = nextToken++;
      control(EPOLL_CTL_ADD, fd, interest, token);
      callbacks.set(token, onReady);
      return {
        want: (changed) => control(EPOLL_CTL_MOD, fd, changed, token),
        [Symbol.dispose]() {
          if (callbacks.delete(token) && isOpen) epollCtl(epoll, EPOLL_CTL_DEL, fd, null);
        },
      };
    },
    close,
    [Symbol.dispose]: () => void close(),
  };
}
