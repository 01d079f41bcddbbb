import { randomUUID } from "node:crypto";
import { createServer } from "node:net";
import { SERVICE_NAME_LABEL } from "@elasti/api";
import { createLogger, Lifecycle, Metrics, readConfig, silentLogger, systemClock } from "@elasti/core";
import {
  type Cluster,
  createKubeClient,
  type EndpointSlice,
  FaultInjector,
  type KubeClient,
  resources,
} from "@elasti/kube";
import { createOperator, operatorErrors, operatorSettings } from "@elasti/operator";

/** A line of an operator's log. */
export type LogLine = Readonly<Record<string, unknown>>;

export interface Replica {
  readonly name: string;
  /** On its way to the API server. */
  readonly faults: FaultInjector;
}

export interface OperatorsOptions {
  /** The API server as the operators' account is known to it. */
  readonly cluster: Cluster;
  readonly client: KubeClient;
  readonly namespace: string;
  /** Where they listen; resolvers must reach it. */
  readonly address: string;
  /** Account of a token of a resolver, or undefined for any other. */
  readonly accountOf: (token: string) => Promise<string | undefined>;
  readonly env: Readonly<Record<string, string>>;
  readonly onLog: (replica: string, line: LogLine) => void;
}

/**
 * Two replicas of the operator in this process, so that each of their calls to the API server can be delayed. They are what
 * `createOperator` makes of them; the resolvers find them by a slice of the operator's Service, as always.
 */
export async function startOperators(
  options: OperatorsOptions,
): Promise<{ replicas: Replica[]; close(): Promise<void> }> {
  const { cluster, client, namespace, address, accountOf, env, onLog } = options;
  const lifecycle = new Lifecycle(silentLogger, { closeTimeoutMs: 5_000 });
  const replicas: Replica[] = [];
  for (const name of ["operator-a", "operator-b"]) {
    const port = await freePort(address);
    const faults = new FaultInjector();
    const settings = {
      POD_NAME: name,
      POD_NAMESPACE: namespace,
      ELASTI_BIND_ADDRESS: address,
      ELASTI_OPERATOR_PORT: String(port),
      ...env,
    };
    const logger = createLogger(
      { name, level: "debug" },
      { write: (text: string) => onLog(name, JSON.parse(text) as LogLine) },
    );
    const operator = createOperator(readConfig(operatorSettings, settings), {
      client: createKubeClient({
        cluster,
        transport: faults.transport,
        requestTimeoutMs: 8_000,
      }),
      authenticator: {
        async authenticate(authorization = "") {
          const account = await accountOf(authorization.replace(/^Bearer /, ""));
          if (account !== undefined) return { ok: true, account };
          return { ok: false, error: operatorErrors.ELASTI_BAD_TOKEN("the token is unknown") };
        },
      },
      clock: systemClock,
      logger,
      metrics: new Metrics({ clock: systemClock }),
    });
    lifecycle.add(name, operator);
    replicas.push({ name, faults });
    await client.create<EndpointSlice>(resources.endpointSlices, sliceOf(name, namespace, address, port));
  }
  await lifecycle.start();
  return { replicas, close: () => lifecycle.close() };
}

function sliceOf(name: string, namespace: string, address: string, port: number): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { [SERVICE_NAME_LABEL]: "elasti-operator" } },
    addressType: "IPv4",
    endpoints: [
      {
        addresses: [address],
        conditions: { ready: true },
        targetRef: { kind: "Pod", name, namespace, uid: randomUUID() },
      },
    ],
    ports: [{ name: "elastiserver", port, protocol: "TCP" }],
  };
}

function freePort(host: string): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
