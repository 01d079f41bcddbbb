import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { silentLogger } from "@elasti/core";
import {
  type Cluster,
  createKubeClient,
  type KubeClient,
  type KubeClientOptions,
  type KubeObject,
} from "../src/index.ts";

export interface Asked {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
  /** The connection it came on, numbered from 0. */
  readonly connection: number;
  readonly socket: Socket;
}

export type Script = (asked: Asked, response: ServerResponse) => void | Promise<void>;

/** An API server that does what a test says, on real sockets. */
export class ScriptedServer {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  readonly #waiting: { match: (asked: Asked) => boolean; resolve: (asked: Asked) => void }[] = [];
  script: Script = (_asked, response) => answer(response, 404, status(404, "NotFound", "no script"));

  constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.on("connection", (socket: Socket) => this.#sockets.push(socket));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const asked: Asked = {
      method: request.method!,
      url: new URL(request.url!, "http://server"),
      headers: request.headers,
      body: text === "" ? undefined : (JSON.parse(text) as unknown),
      connection: this.#sockets.indexOf(request.socket),
      socket: request.socket,
    };
    this.asked.push(asked);
    for (const entry of this.#waiting.filter(({ match }) => match(asked))) {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      entry.resolve(asked);
    }
    await this.script(asked, response);
  }

  /** The next request that fits. */
  next(match: (asked: Asked) => boolean = () => true): Promise<Asked> {
    return new Promise((resolve) => this.#waiting.push({ match, resolve }));
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get cluster(): Cluster {
    const { port } = this.#server.address() as AddressInfo;
    return { server: `http://127.0.0.1:${port}`, token: async () => "secret-token" };
  }

  client(options: Partial<KubeClientOptions> = {}): KubeClient {
    return createKubeClient({ cluster: this.cluster, logger: silentLogger, ...options });
  }

  get openSockets(): number {
    return this.#sockets.filter((socket) => !socket.destroyed).length;
  }

  get connections(): number {
    return this.#sockets.length;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export function answer(
  response: ServerResponse,
  code: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(code, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

export function status(code: number, reason: string, message: string, details?: unknown): unknown {
  return { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message, details };
}

export function configMap(
  name: string,
  resourceVersion: string,
  extra: Partial<KubeObject["metadata"]> = {},
): KubeObject {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", uid: `uid-${name}`, resourceVersion, ...extra },
  };
}

export function listOf(resourceVersion: string, items: unknown[] | null, next?: string): unknown {
  return {
    kind: "ConfigMapList",
    apiVersion: "v1",
    metadata: { resourceVersion, ...(next === undefined ? {} : { continue: next }) },
    items,
  };
}

/** One line of a watch. */
export function line(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}

export function openWatch(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.flushHeaders();
}

export const isWatch = (asked: Asked): boolean => asked.url.searchParams.get("watch") === "true";
export const isList = (asked: Asked): boolean => asked.method === "GET" && !isWatch(asked);
