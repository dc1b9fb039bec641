/**
 * Where log lines go: standard output, standard error, files. A reader that stops reading, a closed pipe or a full disk
 * costs lines, which are counted; it never costs the agent its event loop, and nothing here throws.
 */

import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { codeOf, messageOf } from "../core/error-message.ts";

export interface LogSink {
  /** Takes one line without its line break. Never throws, never waits. */
  write(line: string): void;
  /** Lines lost so far, over all targets. */
  dropped(): number;
  /** Tries once more to write what is pending, then closes what this sink has opened. */
  close(): void;
}

export interface OpenedLogSink {
  readonly sink: LogSink;
  /** One sentence per target that could not be opened; with none left, standard output is used. */
  readonly problems: readonly string[];
}

/** What one target may hold back while its reader is slow. */
const PENDING_BYTES_MAX = 1024 * 1024;
const RETRY_MS = 50;
/** The path may be a pipe's, as /dev/stdout mostly is: neither opening it nor writing to it may wait for its reader. */
const FILE_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** @param targets "stdout", "stderr" or absolute paths (appended to, created with mode 0600) */
export function openLogSink(targets: readonly string[]): OpenedLogSink {
  const problems: string[] = [];
  const opened: Target[] = [];
  for (const target of new Set(targets)) {
    try {
      opened.push(openTarget(target));
    } catch (error) {
      problems.push(`Cannot log to ${target}: ${messageOf(error)}`);
    }
  }
  if (opened.length === 0) opened.push(openTarget("stdout"));
  return {
    sink: {
      write: (line) => {
        const bytes = Buffer.from(`${line}\n`);
        for (const target of opened) target.write(bytes);
      },
      dropped: () => opened.reduce((sum, target) => sum + target.dropped(), 0),
      close: () => {
        for (const target of opened) target.close();
      },
    },
    problems,
  };
}

interface Target {
  write(bytes: Buffer): void;
  dropped(): number;
  close(): void;
}

function openTarget(name: string): Target {
  if (name === "stdout") return createTarget(openStandard(1), 1);
  if (name === "stderr") return createTarget(openStandard(2), 2);
  return createTarget(openSync(name, FILE_FLAGS, 0o600), undefined);
}

/**
 * A pipe is opened a second time without blocking: the first one is shared with whoever else has it, and setting a flag
 * on it would change it for them. Files and terminals stay as they are; a socket cannot be opened again.
 */
function openStandard(fd: 1 | 2): number {
  try {
    if (!fstatSync(fd).isFIFO()) return fd;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return fd;
  }
}

function createTarget(fd: number, shared: number | undefined): Target {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let droppedLines = 0;
  let retry: NodeJS.Timeout | undefined;
  let isClosed = false;

  const flush = (): void => {
    while (pending[0] !== undefined) {
      const head = pending[0];
      const written = writeSome(fd, head);
      if (written === "later") return;
      if (written === "lost") {
        droppedLines += pending.length;
        pending = [];
        pendingBytes = 0;
        return;
      }
      pendingBytes -= written;
      if (written === head.length) pending.shift();
      else pending[0] = head.subarray(written);
    }
  };
  const flushLater = (): void => {
    if (pending.length === 0 || retry !== undefined || isClosed) return;
    retry = setTimeout(() => {
      retry = undefined;
      flush();
      flushLater();
    }, RETRY_MS);
    retry.unref();
  };

  return {
    write: (bytes) => {
      if (isClosed || pendingBytes + bytes.length > PENDING_BYTES_MAX) {
        droppedLines++;
        return;
      }
      pending.push(bytes);
      pendingBytes += bytes.length;
      // While a retry is due the reader is slow; another attempt per line would only burn system calls.
      if (retry === undefined) flush();
      flushLater();
    },
    dropped: () => droppedLines,
    close: () => {
      if (isClosed) return;
      flush();
      droppedLines += pending.length;
      isClosed = true;
      clearTimeout(retry);
      if (fd !== shared) closeQuietly(fd);
    },
  };
}

function writeSome(fd: number, bytes: Buffer): number | "later" | "lost" {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    const code = codeOf(error);
    return code === "EAGAIN" || code === "EINTR" ? "later" : "lost";
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // The descriptor is gone either way.
  }
}
