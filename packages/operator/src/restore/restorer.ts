import { type Clock, type Component, type Logger, type Metrics, readConfig } from "@elasti/core";
import type { KubeClient } from "@elasti/kube";
import { operatorSettings } from "../config.ts";
import { restoreAtMostMs } from "../lifecycle/observe.ts";
import { defaultLimits } from "../lifecycle/phases.ts";
import { createOperator } from "../operator.ts";
import { AsIfDeleted } from "./as-if-deleted.ts";

export interface RestorerOptions {
  /** Namespace of the operator, of its Lease and its port table. */
  readonly systemNamespace: string;
  /** Whose ElastiServices are put back; all when empty. */
  readonly namespaces: readonly string[];
  readonly leaseName: string;
  /** Service of the resolvers, in the same namespace. */
  readonly resolverService: string;
  /** In the election. */
  readonly identity: string;
  /** Longest wait for the pods of one service before its Service is given back without them, in ms. */
  readonly readyTimeoutMs: number;
  /** After so long what cannot be woken is let go, in ms; longer than the other. */
  readonly giveUpMs: number;
}

/** Longest `giveUpMs`. */
export const longestRestoreMs = restoreAtMostMs;

/**
 * Puts back everything that Elasti made, as the deletion of every ElastiService would: it is the operator itself, without ears for
 * resolvers, over a cluster in which all of them look deleted. It takes the Lease, so that no operator leads beside it. May be
 * stopped at any moment and begun anew.
 */
export function createRestorer(
  options: RestorerOptions,
  deps: { readonly client: KubeClient; readonly clock: Clock; readonly logger: Logger; readonly metrics: Metrics },
): Component {
  const { clock, client } = deps;
  const { identity, readyTimeoutMs } = options;
  const config = readConfig(operatorSettings, {
    POD_NAME: identity,
    POD_NAMESPACE: options.systemNamespace,
    WATCH_NAMESPACES: options.namespaces.join(","),
    ELASTI_LEASE_NAME: options.leaseName,
    ELASTI_RESOLVER_SERVICE: options.resolverService,
    // it waits for nodes to follow, not for samples
    ELASTI_SCRAPE_INTERVAL: "0s",
    ELASTI_RECONCILE_CONCURRENCY: "16",
  });
  const sinceMs = clock.now() - (restoreAtMostMs - Math.min(options.giveUpMs, restoreAtMostMs));
  return createOperator(config, {
    ...deps,
    client: new AsIfDeleted(client, sinceMs),
    identity,
    limits: { ...defaultLimits, restoreTimeoutMs: readyTimeoutMs },
  });
}
