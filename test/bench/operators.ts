import { randomUUID } from "node:crypto";
import { createServer } from "node:net";
import { SERVICE_NAME_LABEL } from "@elasti/api";
import { createLogger, Lifecycle, Metrics, readConfig, silentLogger, systemClock } from "@elasti/core";
import { createKubeClient, type EndpointSlice, FaultInjector, type KubeClient, resources } from "@elasti/kube";
import type { LocalCluster } from "@elasti/local";
import { createOperator, operatorErrors, operatorSettings } from "@elasti/operator";

/** A line of an operator's log. */
export type LogLine = Readonly<Record<string, unknown>>;

export interface Replica {
  readonly name: string;
  /** On its way to the API server. */
  readonly faults: FaultInjector;
}

export interface OperatorsOptions {
  readonly cluster: LocalCluster;
  readonly client: KubeClient;
  readonly namespace: string;
  readonly accounts: { readonly operator: string; readonly resolver: string };
  readonly env: Readonly<Record<string, string>>;
  readonly onLog: (replica: string, line: LogLine) => void;
}

const ADDRESS = "127.0.0.1";

/**
 * Two replicas of the operator in this process, so that each of their calls to the API server can be delayed. They are what
 * `createOperator` makes of them; the resolvers find them by a slice of the operator's Service, as always.
 */
export async function startOperators(
  options: OperatorsOptions,
): Promise<{ replicas: Replica[]; close(): Promise<void> }> {
  const { cluster, client, namespace, accounts, env, onLog } = options;
  const lifecycle = new Lifecycle(silentLogger, { closeTimeoutMs: 5_000 });
  const expected = `Bearer ${cluster.token(accounts.resolver)}`;
  const replicas: Replica[] = [];
  for (const name of ["operator-a", "operator-b"]) {
    const port = await freePort();
    const faults = new FaultInjector();
    const settings = {
      POD_NAME: name,
      POD_NAMESPACE: namespace,
      ELASTI_BIND_ADDRESS: ADDRESS,
      ELASTI_OPERATOR_PORT: String(port),
      ...env,
    };
    const logger = createLogger(
      { name, level: "debug" },
      { write: (text: string) => onLog(name, JSON.parse(text) as LogLine) },
    );
    const operator = createOperator(readConfig(operatorSettings, settings), {
      client: createKubeClient({
        cluster: { server: cluster.url, token: async () => cluster.token(accounts.operator) },
        transport: faults.transport,
        requestTimeoutMs: 8_000,
      }),
      authenticator: {
        authenticate: async (authorization) =>
          authorization === expected
            ? { ok: true, account: accounts.resolver }
            : { ok: false, error: operatorErrors.ELASTI_BAD_TOKEN("the token is unknown") },
      },
      clock: systemClock,
      logger,
      metrics: new Metrics({ clock: systemClock }),
    });
    lifecycle.add(name, operator);
    replicas.push({ name, faults });
    await client.create<EndpointSlice>(resources.endpointSlices, sliceOf(name, namespace, port));
  }
  await lifecycle.start();
  return { replicas, close: () => lifecycle.close() };
}

function sliceOf(name: string, namespace: string, port: number): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { [SERVICE_NAME_LABEL]: "elasti-operator" } },
    addressType: "IPv4",
    endpoints: [
      {
        addresses: [ADDRESS],
        conditions: { ready: true },
        targetRef: { kind: "Pod", name, namespace, uid: randomUUID() },
      },
    ],
    ports: [{ name: "elastiserver", port, protocol: "TCP" }],
  };
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, ADDRESS, () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
