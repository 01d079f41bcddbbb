import { headers, paths } from "@elasti/api";
import { ElastiError, errorCode, type Metrics, PROBLEM_CONTENT_TYPE, problemOf } from "@elasti/core";
import fastify, { type FastifyInstance } from "fastify";
import { errors } from "./errors.ts";

export interface InternalServerOptions {
  readonly bindAddress: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly metrics: Metrics;
  /** Why traffic should not be sent here; empty when it may. */
  readonly notReady: () => readonly string[];
  /** Holds of a service; undefined for an unknown one. */
  readonly heldOf: (namespace: string, service: string) => number | undefined;
}

const name = { type: "string", minLength: 1, maxLength: 63, pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" } as const;
const queueStatusQuery = {
  type: "object",
  properties: { namespace: name, service: name },
  required: ["namespace", "service"],
} as const;

/** Metrics, health and queue status, on a port of their own that no client of a service reaches. */
export class InternalServer {
  readonly #options: InternalServerOptions;
  readonly #app: FastifyInstance;

  constructor(options: InternalServerOptions) {
    this.#options = options;
    this.#app = fastify({ logger: false, forceCloseConnections: true, bodyLimit: 1_024 });
    const { metrics, notReady, heldOf } = options;
    this.#app.get(paths.metrics, async (_request, reply) => {
      const text = await metrics.render();
      return reply.type(metrics.contentType).send(text);
    });
    this.#app.get(paths.live, async () => ({ status: "ok" }));
    this.#app.get(paths.ready, async (_request, reply) => {
      const reasons = notReady();
      if (reasons.length === 0) return { status: "ready" };
      return reply.code(503).send({ status: "not ready", reasons });
    });
    this.#app.get<{ Querystring: { namespace: string; service: string } }>(
      paths.queueStatus,
      { schema: { querystring: queueStatusQuery } },
      async ({ query }) => ({ queueStatus: (heldOf(query.namespace, query.service) ?? 0) > 0 ? 1 : 0 }),
    );
    this.#app.setErrorHandler((error, request, reply) => {
      const known =
        error instanceof Error && "validation" in error && error.validation !== undefined
          ? errors.ELASTI_BAD_QUERY(error.message)
          : error;
      const problem = problemOf(known, request.url);
      if (known instanceof ElastiError) reply.header(headers.reason, known.code);
      return reply.code(problem.status).type(PROBLEM_CONTENT_TYPE).send(JSON.stringify(problem));
    });
  }

  /** The port that it listens on. */
  get port(): number {
    const address = this.#app.server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async start(): Promise<void> {
    const { port, bindAddress } = this.#options;
    try {
      await this.#app.listen({ port, host: bindAddress });
    } catch (error) {
      const code = errorCode(error);
      if (bindAddress !== "::" || (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL")) throw error;
      await this.#app.listen({ port, host: "0.0.0.0" });
    }
  }

  async close(): Promise<void> {
    await this.#app.close();
  }
}
