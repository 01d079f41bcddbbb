import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { silentLogger, systemClock } from "@elasti/core";
import {
  type Cluster,
  createKubeClient,
  type KubeClient,
  type KubeObject,
  type KubeStatus,
  loadCluster,
  Reflector,
  type Resource,
  resources,
} from "@elasti/kube";
import { startLocalCluster } from "@elasti/local";
import { Agent, request } from "undici";

/**
 * One contract, two servers: `ELASTI_TEST_KUBECONFIG` names a real cluster (with administrator's rights), without it the
 * embedded Kubernetes is used. Tests are declared by `on`, which says where they hold.
 *
 * - `both`: the API server and the controllers, on either.
 * - `real`: what the embedded one does not have; listed in packages/local/README.md.
 * - `node`: a kubelet of ours runs pods: the embedded one, or a real one with `ELASTI_TEST_NODE`.
 */
export type Where = "both" | "real" | "node";

const kubeconfigPath = process.env.ELASTI_TEST_KUBECONFIG;
export const isReal = kubeconfigPath !== undefined && kubeconfigPath !== "";
const hasNode = !isReal || (process.env.ELASTI_TEST_NODE ?? "") !== "";

/** An object as it comes back: everything is there to be asserted on. */
export interface Any extends KubeObject {
  spec: Record<string, unknown>;
  status: Record<string, unknown>;
  [field: string]: unknown;
}

export interface Answer {
  readonly code: number;
  readonly body: Any & Partial<KubeStatus>;
  readonly text: string;
}

/** One test's view of the server. */
export interface Contract {
  readonly client: KubeClient;
  /** Of this test alone; removed after it. */
  readonly namespace: string;
  /** Ends with the test, or after its time. */
  readonly signal: AbortSignal;
  /** A request as the bytes say it, for what the client does not send. */
  send(method: string, path: string, body?: unknown, options?: SendOptions): Promise<Answer>;
  /** The first value that `look` gives for an object, by a watch; `look` gets undefined while there is none. */
  until<T extends KubeObject, V>(
    resource: Resource,
    name: string,
    look: (object: T | undefined) => V | undefined,
  ): Promise<V>;
  /** As `until`, for all objects of a kind in the namespace. */
  untilAll<T extends KubeObject, V>(resource: Resource, look: (objects: readonly T[]) => V | undefined): Promise<V>;
  /** Runs when the test is over, before the namespace goes. */
  cleanup(step: () => Promise<unknown>): void;
}

export interface SendOptions {
  /** Content type of the body; JSON where left out. */
  readonly type?: string;
  /** Another bearer token than the administrator's; null for none. */
  readonly token?: string | null;
}

interface Server {
  readonly cluster: Cluster;
  readonly client: KubeClient;
  close(): Promise<void>;
}

async function open(): Promise<Server> {
  if (isReal) {
    const cluster = await loadCluster({ kubeconfigPath: kubeconfigPath! });
    const client = createKubeClient({ cluster });
    return { cluster, client, close: () => client.close() };
  }
  const local = await startLocalCluster();
  const cluster = { server: local.url, token: async () => local.token() };
  return { cluster, client: local.client(), close: () => local.close() };
}

let server: Promise<Server> | undefined;
let agent: Agent | undefined;

before(async () => {
  server = open();
  const { cluster } = await server;
  agent = new Agent({
    connect: {
      ...(cluster.ca === undefined ? {} : { ca: cluster.ca }),
      ...(cluster.cert === undefined ? {} : { cert: cluster.cert }),
      ...(cluster.key === undefined ? {} : { key: cluster.key }),
      ...(cluster.skipTLSVerify === true ? { rejectUnauthorized: false } : {}),
    },
  });
});

after(async () => {
  await agent?.destroy();
  await (await server)?.close();
});

/** Declares a test where it holds; elsewhere it does not exist. */
export function on(where: Where, name: string, body: (contract: Contract) => Promise<void>): void {
  if ((where === "real" && !isReal) || (where === "node" && !hasNode)) return;
  test(name, { timeout: 90_000 }, async ({ signal }) => {
    const { cluster, client } = await server!;
    const namespace = `contract-${randomBytes(5).toString("hex")}`;
    await client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    const steps: (() => Promise<unknown>)[] = [];
    const contract: Contract = {
      client,
      namespace,
      signal,
      send: (...args) => send(cluster, ...args),
      until: <T extends KubeObject, V>(
        resource: Resource,
        objectName: string,
        look: (object: T | undefined) => V | undefined,
      ) => {
        const one = { resource, namespace, fieldSelector: `metadata.name=${objectName}` };
        return watched<T, V>(client, one, signal, ([object]) => look(object));
      },
      untilAll: (resource, look) => watched(client, { resource, namespace }, signal, look),
      cleanup: (step) => steps.push(step),
    };
    try {
      await body(contract);
    } finally {
      for (const step of steps.reverse()) await step().catch(() => {});
      await client.delete(resources.namespaces, undefined, namespace).catch(() => {});
    }
  });
}

async function send(
  cluster: Cluster,
  method: string,
  path: string,
  body?: unknown,
  options: SendOptions = {},
): Promise<Answer> {
  const token = options.token === undefined ? await cluster.token() : options.token;
  const { statusCode, body: answer } = await request(`${cluster.server.replace(/\/$/, "")}${path}`, {
    method,
    dispatcher: agent!,
    headers: {
      accept: "application/json",
      "user-agent": "contract/1",
      ...(token === null || token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": options.type ?? "application/json" }),
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const parsed: unknown = text.startsWith("{") && !text.includes("\n{") ? JSON.parse(text) : {};
  return { code: statusCode, body: parsed as Answer["body"], text };
}

async function watched<T extends KubeObject, V>(
  client: KubeClient,
  what: { resource: Resource; namespace: string; fieldSelector?: string },
  signal: AbortSignal,
  look: (objects: readonly T[]) => V | undefined,
): Promise<V> {
  const reflector = new Reflector<T>({
    client,
    ...what,
    logger: silentLogger,
    clock: systemClock,
    transform: (object) => object,
  });
  try {
    await reflector.start();
    return await reflector.store.until(
      (store) => look(store.list()),
      AbortSignal.any([signal, AbortSignal.timeout(30_000)]),
    );
  } finally {
    await reflector.close();
  }
}
