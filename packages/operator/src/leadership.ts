import type { Clock, Component, Logger } from "@elasti/core";
import { type KubeClient, LeaderElector } from "@elasti/kube";
import type { OperatorConfig } from "./config.ts";

export interface LeadershipDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** In the election; never the same for two processes. Left out: the pod's name and a random part. */
  readonly identity: string | undefined;
  /** Sees what the leader before has written; a watch that is behind could still show what was before that. */
  readonly catchUp: (signal: AbortSignal) => Promise<void>;
  /** Called once caught up. @param signal ends with the leadership */
  readonly onBegin: (signal: AbortSignal) => void;
  readonly onEnd: () => void;
}

type LeaseConfig = Pick<
  OperatorConfig,
  "podName" | "podNamespace" | "leaseName" | "leaseDurationMs" | "leaseRenewDeadlineMs" | "leaseRetryMs"
>;

/** Whether this replica is the one that reconciles. */
export class Leadership implements Component {
  readonly #elector: LeaderElector;
  #caughtUp = false;

  constructor(config: LeaseConfig, deps: LeadershipDeps) {
    const { client, clock, logger, catchUp, onBegin, onEnd } = deps;
    this.#elector = new LeaderElector({
      client,
      clock,
      logger,
      namespace: config.podNamespace,
      name: config.leaseName,
      identity: deps.identity ?? `${config.podName}_${crypto.randomUUID().slice(0, 8)}`,
      leaseDurationMs: config.leaseDurationMs,
      renewDeadlineMs: config.leaseRenewDeadlineMs,
      retryPeriodMs: config.leaseRetryMs,
      onStartedLeading: async (signal) => {
        await catchUp(signal);
        if (signal.aborted) return;
        logger.info("leading");
        this.#caughtUp = true;
        onBegin(signal);
      },
      onStoppedLeading: () => {
        logger.info("no longer leading");
        this.#caughtUp = false;
        onEnd();
      },
    });
  }

  /** It has the Lease. */
  get elected(): boolean {
    return this.#elector.isLeader;
  }

  /** It has the Lease, and knows what the leader before has written: it may act. */
  get acts(): boolean {
    return this.#caughtUp && this.#elector.isLeader;
  }

  start(): Promise<void> | void {
    return this.#elector.start();
  }

  close(): Promise<void> | void {
    return this.#elector.close();
  }
}
