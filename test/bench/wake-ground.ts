import { elastiAccounts, installElasti, startLocalCluster } from "@elasti/local";
import { Release } from "../cluster/chart.ts";
import { Places } from "../cluster/places.ts";
import { EmbeddedMoments } from "./embedded-moments.ts";
import type { Host } from "./host.ts";
import type { Moments } from "./moments.ts";
import { RealHost } from "./real-host.ts";
import { RealMoments } from "./real-moments.ts";

/** A cluster with two operators and two resolvers, for benchmarks of waking. */
export interface WakeGround<M extends Moments = Moments> {
  readonly host: Host;
  moments(apps: readonly string[]): Promise<M & { close(): unknown }>;
  /** Resolves once the clients' node leads a new Service to something: until then what is sent to it is dropped. */
  leads(service: string): Promise<void>;
  /** Another client's address, where clients have more than one. */
  localAddress(index: number): string | undefined;
  close(): Promise<void>;
}

// nothing answers there: the triggers are never known to be idle
const prometheusUrl = "http://127.0.0.1:9";

export async function embeddedGround(): Promise<WakeGround> {
  const cluster = await startLocalCluster({ accounts: elastiAccounts() });
  try {
    const host = await installElasti({
      cluster,
      prometheusUrl,
      env: { operator: { ELASTI_LOG_LEVEL: "error" }, resolver: { ELASTI_LOG_LEVEL: "error" } },
    });
    return {
      host,
      moments: async (apps) => new EmbeddedMoments(cluster, apps),
      leads: async (service) => {
        await cluster.waitForBackends(1, `default/${service}`, (backends) => backends.length > 0);
      },
      localAddress: (index) => cluster.clientAddress(1, index),
      async close() {
        await host.close();
        await cluster.close();
      },
    };
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

/**
 * On the cluster that this process runs inside of.
 * @param installed whether Elasti comes there by its Helm chart, as built images, or as pods that run the sources
 */
export async function realGround(installed = false): Promise<WakeGround<RealMoments>> {
  const values = { prometheus: { serverAddress: prometheusUrl } };
  const host = await RealHost.start(
    installed
      ? { installer: new Release({ namespace: "elasti-system", values }) }
      : { operators: 2, resolvers: 2, prometheusUrl },
  );
  const places = new Places(process.env.ELASTI_TEST_NODE ?? "");
  return {
    host,
    moments: (apps) => RealMoments.start(host.client, places, apps),
    leads: (name) => host.world.backends({ namespace: "default", name }, (ports) => ports.length > 0),
    localAddress: () => undefined,
    close: () => host.close(),
  };
}
