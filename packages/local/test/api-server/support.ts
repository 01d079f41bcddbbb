import { request } from "node:http";
import type { TestContext } from "node:test";
import type { KubeObject, KubeStatus } from "@elasti/kube";
import { type ApiServer, type ApiServerOptions, startApiServer } from "../../src/api-server/index.ts";

export const token = "test-token";

/** An object as it comes back: everything is there to be asserted on. */
export interface Any extends KubeObject {
  spec: Record<string, unknown>;
  status: Record<string, unknown>;
  [field: string]: unknown;
}

export interface Answer<T> {
  readonly code: number;
  readonly body: T;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface SendOptions {
  readonly type?: string;
  readonly accept?: string;
  readonly token?: string | null;
  readonly agent?: string;
}

/** A server with a client, closed with the test. */
export class Api {
  readonly server: ApiServer;
  constructor(server: ApiServer) {
    this.server = server;
  }

  send<T = Any & KubeStatus>(
    method: string,
    path: string,
    body?: unknown,
    options: SendOptions = {},
  ): Promise<Answer<T>> {
    const payload = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
    const headers: Record<string, string> = { "user-agent": options.agent ?? "test/1" };
    if (options.token !== null) headers.authorization = `Bearer ${options.token ?? token}`;
    if (options.accept !== undefined) headers.accept = options.accept;
    if (payload !== undefined) {
      headers["content-type"] = options.type ?? "application/json";
      headers["content-length"] = String(Buffer.byteLength(payload));
    }
    return new Promise((resolve, reject) => {
      const call = request(`${this.server.url}${path}`, { method, headers, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => {
          const isJson = response.headers["content-type"]?.startsWith("application/json") === true;
          const parsed = (isJson ? JSON.parse(text) : text) as T;
          resolve({ code: response.statusCode ?? 0, body: parsed, headers: response.headers });
        });
      });
      call.on("error", reject);
      call.end(payload);
    });
  }

  get<T = Any>(path: string): Promise<Answer<T>> {
    return this.send<T>("GET", path);
  }

  merge(path: string, patch: unknown, options: SendOptions = {}) {
    return this.send("PATCH", path, patch, { type: "application/merge-patch+json", ...options });
  }

  /** The answer's body; throws when the server refused. */
  async ok(method: string, path: string, body?: unknown, options?: SendOptions): Promise<Any> {
    const answer = await this.send(method, path, body, options);
    if (answer.code >= 300) throw new Error(`${method} ${path}: ${answer.code} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** Opens a watch; `next()` waits for the next event, undefined when the server has ended the stream. */
  async watch(path: string, options: { accept?: string } = {}): Promise<Watch> {
    const headers: Record<string, string> = { authorization: `Bearer ${token}` };
    if (options.accept !== undefined) headers.accept = options.accept;
    const { promise, resolve, reject } = Promise.withResolvers<Watch>();
    const call = request(`${this.server.url}${path}`, { headers, agent: false }, (response) => {
      const watch = new Watch(() => call.destroy());
      let rest = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) watch.push(JSON.parse(line) as Event);
      });
      response.on("error", () => watch.push(undefined));
      response.on("close", () => watch.push(undefined));
      resolve(watch);
    });
    call.on("error", reject);
    call.end();
    return promise;
  }
}

export interface Event {
  readonly type: string;
  readonly object: Any;
}

export class Watch {
  readonly #events: (Event | undefined)[] = [];
  readonly #waiting: ((event: Event | undefined) => void)[] = [];
  readonly close: () => void;

  constructor(close: () => void) {
    this.close = close;
  }

  push(event: Event | undefined): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#events.push(event);
    else waiting(event);
  }

  next(): Promise<Event | undefined> {
    if (this.#events.length > 0) return Promise.resolve(this.#events.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** `TYPE name` of the next `count` events. */
  async summary(count: number): Promise<string[]> {
    const seen: string[] = [];
    for (let i = 0; i < count; i++) {
      const event = await this.next();
      seen.push(event === undefined ? "END" : `${event.type} ${event.object.metadata.name ?? event.object.kind}`);
    }
    return seen;
  }
}

export async function startApi(t: TestContext, options: Partial<ApiServerOptions> = {}): Promise<Api> {
  const server = await startApiServer({ tokens: { [token]: "tester" }, ...options });
  t.after(() => server.close());
  return new Api(server);
}

export const configMaps = "/api/v1/namespaces/default/configmaps";
export const deployments = "/apis/apps/v1/namespaces/default/deployments";
export const pods = "/api/v1/namespaces/default/pods";
export const services = "/api/v1/namespaces/default/services";

export function configMap(name: string, data: Record<string, string> = {}, metadata: object = {}) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...metadata }, data };
}

export function deployment(name: string, spec: object = {}) {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "app", image: "app:1" }] } },
      ...spec,
    },
  };
}

export function pod(name: string, spec: object = {}, metadata: object = {}) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...metadata },
    spec: { nodeName: "node-1", containers: [{ name: "app", image: "app:1" }], ...spec },
  };
}

export function service(name: string, spec: object = {}) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
  };
}
