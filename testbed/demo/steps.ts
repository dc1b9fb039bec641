// Progress on the terminal: one line a step with its time, no colour and no cursor movement where nobody watches.

export interface Steps {
  /** Runs `work`, shows it while it runs and its time when it is done. Its detail comes from the result. */
  step<T>(title: string, work: () => Promise<T>, detail?: (result: T) => string): Promise<T>;
  say(text: string): void;
}

/** Colour and bold for a terminal; the text itself where there is none, or NO_COLOR is set (no-color.org). */
export interface Paint {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly strong: (text: string) => string;
}

export interface Screen {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export function createPaint(screen: Screen, env: Readonly<Record<string, string | undefined>>): Paint {
  const isOn = screen.isTTY === true && (env["NO_COLOR"] ?? "") === "";
  const sgr = (code: number) => (text: string) => (isOn ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { good: sgr(32), bad: sgr(31), faint: sgr(2), strong: sgr(1) };
}

const TITLE_WIDTH = 76;

export function createSteps(screen: Screen, paint: Paint, nowMs: () => number): Steps {
  return {
    async step(title, work, detail = () => "") {
      const startedMs = nowMs();
      if (screen.isTTY === true) screen.write(`  … ${title}\r`);
      let mark = paint.bad("✗");
      let text = title;
      try {
        const result = await work();
        mark = paint.good("✓");
        text = [title, detail(result)].filter((part) => part !== "").join(": ");
        return result;
      } finally {
        const time = `${((nowMs() - startedMs) / 1000).toFixed(2)} s`;
        screen.write(`  ${mark} ${text.padEnd(TITLE_WIDTH)} ${paint.faint(time.padStart(8))}\n`);
      }
    },
    say: (text) => void screen.write(`${text}\n`),
  };
}
