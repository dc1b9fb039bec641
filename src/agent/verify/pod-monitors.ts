// One monitor for each pod, on the namespace that it has now: what the kernel tells of rules and routing makes somebody look.
// Without a monitor the timer looks.
import { messageOf } from "../../core/error-message.ts";
import type { Logger } from "../../core/log.ts";
import { isSameNetns } from "../../core/netns/netns-id.ts";
import { type PodCapture, podNetwork } from "../../core/rules/pod-capture.ts";
import type { NetnsHandle } from "../../platform/linux/netns.ts";
import { type ChangeMonitorDeps, openChangeMonitor, openRouteMonitor } from "./change-monitor.ts";
import type { PodState } from "./pod-state.ts";

export interface PodMonitorsDeps extends ChangeMonitorDeps {
  readonly backend: {
    /** The rules are in nf_tables, which numbers its generations and tells of changes; false: iptables legacy. */
    hasGenerations(): boolean;
  };
  readonly log: Logger;
}

export interface PodMonitors {
  /** Listens for changes of rules in this namespace, and in no other one for this pod. */
  watchRules(uid: string, state: PodState, netns: NetnsHandle): void;
  /** Listens for changes of the routing that this capture needs. It has no generation: whatever changes, somebody has to look. */
  watchRouting(uid: string, state: PodState, netnsFd: number, capture: PodCapture): void;
  close(state: PodState): void;
}

/** @param changed called when somebody has to look at the pod */
export function createPodMonitors(deps: PodMonitorsDeps, changed: (uid: string) => void): PodMonitors {
  let isFailureSaid = false;

  function listening(uid: string, open: () => void): void {
    try {
      open();
    } catch (error) {
      if (isFailureSaid) return;
      isFailureSaid = true;
      deps.log.warn("Cannot listen to a pod's network namespace: changes of rules are found by the timer only", {
        podUid: uid,
        err: messageOf(error),
      });
    }
  }

  function close(state: PodState): void {
    state.monitor?.rules[Symbol.dispose]();
    state.monitor?.routing?.changes?.[Symbol.dispose]();
    state.monitor = undefined;
    state.record.isMonitored = false;
  }

  return {
    watchRules(uid, state, netns) {
      if (!deps.backend.hasGenerations()) return;
      if (state.monitor !== undefined && isSameNetns(state.monitor, netns)) return;
      close(state);
      state.record.generation = undefined;
      listening(uid, () => {
        // Our own batches are known by the generation they made.
        const rules = openChangeMonitor(deps, netns.fd, () => {
          const change = rules.lastChange();
          if (change === undefined || change.generation !== state.record.generation) changed(uid);
        });
        state.monitor = { rules, dev: netns.dev, ino: netns.ino, routing: undefined };
        state.record.isMonitored = true;
      });
    },
    watchRouting(uid, state, netnsFd, capture) {
      const { monitor } = state;
      if (monitor === undefined || monitor.routing?.capture === capture) return;
      monitor.routing?.changes?.[Symbol.dispose]();
      monitor.routing = undefined;
      listening(uid, () => {
        const changes = openRouteMonitor(deps, netnsFd, podNetwork(capture), () => {
          state.record.generation = undefined;
          changed(uid);
        });
        monitor.routing = { capture, changes };
      });
    },
    close,
  };
}
