import type { ElastiService } from "@elasti/api";
import { type Deployment, type EndpointSlice, type KubeObject, resources, type Service } from "@elasti/kube";
import { elastiAccounts, installElasti, startLocalCluster } from "@elasti/local";
import { Connection } from "./connection.ts";
import type { CyclesGround } from "./cycles-ground.ts";

/** One more than resolvers, so that on one of them nothing but the grace covers the lag: the proof is made on the others. */
const NODES = 3;
/** A node follows each change after a delay drawn from here, in ms. */
const NODE_DELAY_MS = { from: 50, to: 3_000 };
/** Lines of resolvers remembered. */
const KEPT_LINES = 2_000;

export async function embeddedCycles(): Promise<CyclesGround> {
  const accounts = elastiAccounts();
  const [operator = "", resolver = ""] = accounts;
  const lines: string[] = [];
  const onPodLog = ({ pod, line }: { pod: string; line: string }) => {
    lines.push(`${pod}: ${line}`);
    if (lines.length > 2 * KEPT_LINES) lines.splice(0, KEPT_LINES);
  };
  const cluster = await startLocalCluster({ nodes: NODES, accounts, onPodLog });
  try {
    const host = await installElasti({ cluster, operators: 0 });
    const nodes = await host.client.list<KubeObject & { status?: { addresses?: { type: string; address: string }[] } }>(
      resources.nodes,
    );
    const own = new Set(nodes.items.flatMap(({ status }) => (status?.addresses ?? []).map((one) => one.address)));
    let places = 0;
    return {
      host,
      namespace: host.namespace,
      tables: {
        nodeNames: cluster.nodeNames,
        backends: (node, key) => cluster.services.backends(node, key),
      },
      operators: {
        cluster: { server: cluster.url, token: async () => cluster.token(operator) },
        address: "127.0.0.1",
        accountOf: async (token) => (token === cluster.token(resolver) ? resolver : undefined),
      },
      // told to the moment: this listens inside the API server
      async follow(followers) {
        cluster.apiServer.store.subscribe(({ type, collection, object }) => {
          const any: unknown = object;
          if (collection === `${resources.elastiServices.group}/elastiservices`) {
            followers.elastiService(any as ElastiService);
          } else if (collection === "/services") followers.service(any as Service);
          else if (collection === "apps/deployments") followers.deployment(any as Deployment);
          else if (collection === "discovery.k8s.io/endpointslices") {
            followers.slice(any as EndpointSlice, type === "DELETED");
          }
        });
      },
      leads: async (node, service) => {
        await cluster.waitForBackends(node, `default/${service}`, (backends) => backends.length > 0);
      },
      beginLag() {
        const { from, to } = NODE_DELAY_MS;
        for (let node = 1; node <= NODES; node++) {
          cluster.setServiceDelay(node, () => from + Math.random() * (to - from));
        }
      },
      nextPlace() {
        places += 1;
        const node = 1 + (places % NODES);
        const address = cluster.clientAddress(node, 1 + (places % 60_000));
        return { node, address, open: (to, port) => Connection.open({ host: to, port, localAddress: address }) };
      },
      isNode: (address) => own.has(address),
      saidOf: async (service) => lines.filter((line) => line.includes(`"${service}"`)).slice(-30),
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
