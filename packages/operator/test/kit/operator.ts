import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { API_VERSION, type ElastiService, elastiServiceCrd, KIND, paths, type SessionDown } from "@elasti/api";
import { Metrics, readConfig, silentLogger, systemClock } from "@elasti/core";
import {
  createKubeClient,
  type Deployment,
  type EndpointSlice,
  FaultInjector,
  type KubeClient,
  type KubeObject,
  Reflector,
  resources,
  type Service,
} from "@elasti/kube";
import { type ApiServer, startApiServer } from "@elasti/local";
import { operatorSettings } from "../../src/config.ts";
import { StaticAuthenticator } from "../../src/elastiserver/auth.ts";
import { createOperator, type OperatorDeps } from "../../src/operator.ts";
import { dialSession, TestResolver } from "./resolver.ts";

const account = "system:serviceaccount:elasti:elasti-resolver";

/** An ElastiService as the API server has it. */
export type Es = ElastiService & KubeObject;

/** A whole operator against the embedded API server. There are no controllers: a test plays them. */
export interface OperatorWorld {
  readonly api: ApiServer;
  readonly client: KubeClient;
  /** Of the operator's HTTP server. */
  readonly url: string;
  /** Faults on the operator's calls. */
  readonly faults: FaultInjector;
  /** Every call of the operator that was not a read, as `patch elastiservices/status web`. */
  readonly writes: string[];
  /** Watches that the operator has open, as `pods default app=web`. */
  readonly watches: ReadonlySet<string>;
  /** A Service and a Deployment of that name. */
  app(
    name: string,
    options?: { replicas?: number; service?: Partial<Service["spec"]>; namespace?: string },
  ): Promise<void>;
  elastiService(name: string, spec?: Partial<ElastiService["spec"]>, namespace?: string): Promise<Es>;
  /** Resolves with the ElastiService as soon as it fits. */
  until(name: string, fits: (es: Es) => boolean, namespace?: string): Promise<Es>;
  /**
   * A resolver that is listed by Kubernetes and has a session; it listens on whatever port routes name.
   * @param options.tells it begins as one of this version, which says what ports lead to; the test says it
   */
  resolver(name?: string, options?: { tells?: boolean }): Promise<TestResolver>;
  /** What a resolver posts because requests wait. */
  notify(svc: string): Promise<Response>;
  close(): Promise<void>;
}

export async function startOperator(
  env: Record<string, string> = {},
  monitorTimes: OperatorDeps["monitorTimes"] = { lookAfterMs: 2_000, progressAfterMs: 10_000 },
  policies: Pick<OperatorDeps, "votes" | "journal"> = {},
): Promise<OperatorWorld> {
  const api = await startApiServer({ tokens: { secret: "operator" } });
  const client = createKubeClient({ cluster: { server: api.url, token: async () => "secret" } });
  await client.create(resources.customResourceDefinitions, elastiServiceCrd() as unknown as KubeObject);
  await client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "elasti" } });
  const seen = new Reflector<Es>({
    client,
    resource: resources.elastiServices,
    clock: systemClock,
    logger: silentLogger,
  });
  await seen.start();

  const writes: string[] = [];
  const watches = new Set<string>();
  const faults = new FaultInjector();
  const operatorClient = createKubeClient({
    cluster: { server: api.url, token: async () => "secret" },
    transport: [
      async (request, next) => {
        const { method, verb, resource, subresource, name = "" } = request;
        if (method !== "GET" && resource?.plural !== "leases" && resource?.plural !== "events")
          writes.push(`${verb} ${resource?.plural}${subresource === undefined ? "" : `/${subresource}`} ${name}`);
        if (request.kind === "watch") {
          const { labelSelector, fieldSelector } = request.query;
          const watch = `${resource?.plural} ${request.namespace} ${labelSelector ?? fieldSelector}`;
          watches.add(watch);
          request.signal.addEventListener("abort", () => watches.delete(watch), { once: true });
        }
        return await next(request);
      },
      faults.transport,
    ],
  });
  const port = await freePort();
  const config = readConfig(operatorSettings, {
    POD_NAME: "operator-0",
    POD_NAMESPACE: "elasti",
    ELASTI_BIND_ADDRESS: "127.0.0.1",
    ELASTI_OPERATOR_PORT: String(port),
    POLLING_INTERVAL: "200ms",
    ELASTI_SCRAPE_INTERVAL: "0s",
    ...env,
  });
  const operator = createOperator(config, {
    client: operatorClient,
    authenticator: new StaticAuthenticator({ "resolver-token": account }, [account]),
    clock: systemClock,
    logger: silentLogger,
    metrics: new Metrics({ clock: systemClock }),
    monitorTimes,
    ...policies,
  });
  await operator.start?.();
  const joined: TestResolver[] = [];

  return {
    api,
    client,
    url: `http://127.0.0.1:${port}`,
    faults,
    writes,
    watches,
    async app(name, { replicas = 1, service = {}, namespace = "default" } = {}) {
      const labels = { app: name };
      await client.create<Deployment>(resources.deployments, {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name, namespace },
        spec: {
          replicas,
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers: [{ name, image: name }] } },
        },
      });
      await client.create<Service>(resources.services, {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name, namespace },
        spec: { selector: labels, ports: [{ port: 80 }], ...service },
      });
    },
    async elastiService(name, spec = {}, namespace = "default") {
      return await client.create<Es>(resources.elastiServices, {
        apiVersion: API_VERSION,
        kind: KIND,
        metadata: { name, namespace },
        spec: { service: name, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name }, ...spec },
      });
    },
    async until(name, fits, namespace = "default") {
      return await seen.store.until((store) => {
        const es = store.get(namespace, name);
        return es !== undefined && fits(es) ? es : undefined;
      }, AbortSignal.timeout(8_000));
    },
    async resolver(name = "resolver-0", { tells = false } = {}) {
      await client.create<EndpointSlice>(resources.endpointSlices, {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name, namespace: "elasti", labels: { "kubernetes.io/service-name": "elasti-resolver" } },
        addressType: "IPv4",
        endpoints: [
          {
            addresses: ["10.0.0.1"],
            conditions: { ready: true },
            targetRef: { kind: "Pod", name, namespace: "elasti" },
          },
        ],
        ports: [{ name: "", port: 8013, protocol: "TCP" }],
      });
      const resolver = await dialSession(port, name, "resolver-token");
      if (!(resolver instanceof TestResolver)) throw new TypeError(resolver.body);
      joined.push(resolver);
      if (tells) resolver.send({ type: "routes", routes: [] });
      await resolver.hello([]);
      const ports = (): number[] =>
        seen.store.list().flatMap(({ status }) => (status?.routes ?? []).map(({ resolverPort }) => resolverPort));
      let said = "";
      const tell = () => {
        const now = ports();
        if (JSON.stringify(now) === said) return;
        said = JSON.stringify(now);
        resolver.send({ type: "ports", ports: now });
      };
      seen.store.on("change", tell);
      tell();
      resolver.onLine = (line: SessionDown) => {
        if (line.type === "ping") resolver.send({ type: "ping" });
      };
      return resolver;
    },
    async notify(svc) {
      return await fetch(`http://127.0.0.1:${port}${paths.notify}`, {
        method: "POST",
        headers: { authorization: "Bearer resolver-token", "content-type": "application/json" },
        body: JSON.stringify({ count: 1, svc, namespace: "default" }),
      });
    },
    async close() {
      for (const resolver of joined) await resolver.leave();
      await operator.close();
      await operatorClient.close();
      await seen.close();
      await client.close();
      await api.close();
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
