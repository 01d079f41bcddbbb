/** The world around the engine, in a process of its own: an API server with a Deployment for each policy, and what Prometheus scrapes. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createKubeClient, type Deployment, resources } from "@elasti/kube";
import { startApiServer } from "@elasti/local";
import PQueue from "p-queue";
import { serve } from "./child.ts";
import { distinctQueries, type Load, namespaceOf, policyName, REPLICAS, seriesOf, valueAt } from "./load.ts";

export interface ClusterReady {
  readonly apiUrl: string;
  readonly token: string;
  /** `host:port` of the exporter. */
  readonly exporter: string;
}
export interface ClusterAnswer {
  /** Changes of the specs of Deployments since they were made, as their generations have it. */
  readonly changes: number;
}

serve<Load>(async (load) => {
  const token = "bench";
  const server = await startApiServer({ tokens: { [token]: "bench" }, eventWindow: 20_000 });
  const client = createKubeClient({ cluster: { server: server.url, token: async () => token } });
  const namespaces = new Set(Array.from({ length: load.policies }, (_, index) => namespaceOf(index)));
  for (const name of namespaces) {
    const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    await client.create(resources.namespaces, namespace);
  }
  const queue = new PQueue({ concurrency: 8 });
  await queue.addAll(Array.from({ length: load.policies }, (_, index) => () => client.create(...deployment(index))));
  const exporter = createServer((_request, response) => {
    const now = Date.now();
    const lines = Array.from(
      { length: distinctQueries(load) },
      (_, query) => `${seriesOf(query)} ${valueAt(load, query, now)}\n`,
    );
    response.setHeader("content-type", "text/plain; version=0.0.4");
    response.end(lines.join(""));
  });
  exporter.listen(0, "127.0.0.1");
  await once(exporter, "listening");
  const ready: ClusterReady = {
    apiUrl: server.url,
    token,
    exporter: `127.0.0.1:${(exporter.address() as AddressInfo).port}`,
  };
  return {
    ready,
    answer: async (): Promise<ClusterAnswer> => {
      const { items } = await client.list<Deployment>(resources.deployments);
      return { changes: items.reduce((sum, { metadata }) => sum + (metadata.generation ?? 1) - 1, 0) };
    },
    close: async () => {
      exporter.close();
      exporter.closeAllConnections();
      await client.close();
      await server.close();
    },
  };
});

function deployment(index: number): [typeof resources.deployments, Deployment] {
  const [name, namespace] = [policyName(index), namespaceOf(index)];
  const labels = { app: name };
  const object: Deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas: REPLICAS,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "app", image: "app" }] } },
    },
  };
  return [resources.deployments, object];
}
