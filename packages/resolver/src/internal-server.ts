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

const name = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** @throws ELASTI_BAD_QUERY */
function nameIn(query: unknown, field: "namespace" | "service"): string {
  const value = (query as Readonly<Record<string, unknown>>)[field];
  if (typeof value === "string" && name.test(value)) return value;
  throw errors.ELASTI_BAD_QUERY(
    `querystring/${field} must be given once, and be a name of Kubernetes: at most 63 of a-z, 0-9 and hyphens`,
  );
}

/** A schema would have Fastify load what compiles schemas: 3 MiB of a resolver, for two names (docs/decisions/0005-memory.md). */
function noSchemas(): never {
  throw new TypeError("the routes of the internal port have no schemas");
}

/** Metrics, health and queue status, on a port of their own that no client of a service reaches. */
export class InternalServer {
  readonly #options: InternalServerOptions;
  readonly #app: FastifyInstance;

  constructor(options: InternalServerOptions) {
    this.#options = options;
    this.#app = fastify({
      logger: false,
      forceCloseConnections: true,
      bodyLimit: 1_024,
      schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    });
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
    this.#app.get(paths.queueStatus, async ({ query }) => {
      const held = heldOf(nameIn(query, "namespace"), nameIn(query, "service")) ?? 0;
      return { queueStatus: held > 0 ? 1 : 0 };
    });
    this.#app.setErrorHandler((error, request, reply) => {
      const problem = problemOf(error, request.url);
      if (error instanceof ElastiError) reply.header(headers.reason, error.code);
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
