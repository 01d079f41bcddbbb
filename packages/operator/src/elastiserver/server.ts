import type { IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import {
  type Notification,
  type NotificationReply,
  NotificationReplySchema,
  NotificationSchema,
  paths,
} from "@elasti/api";
import { type Clock, ElastiError, errorText, type Logger, labelledBy, type Metrics } from "@elasti/core";
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from "@fastify/type-provider-typebox";
import Fastify, { type FastifyError, type FastifyPluginAsync, type FastifyReply, type FastifyRequest } from "fastify";
import { operatorErrors } from "../errors.ts";
import type { Authenticator } from "./auth.ts";
import { health, type ReadinessCheck } from "./health.ts";
import { errorOfRefusal, problemAnswer, wakeFailure } from "./problem-reply.ts";
import { isSessionUpgrade, type SessionAcceptor, SessionUpgrades } from "./session-upgrade.ts";

/** Brings a service up; implemented by the lifecycle. */
export interface Waker {
  /**
   * Requests wait for a service.
   * @throws ELASTI_UNKNOWN_SERVICE when no ElastiService names it; other errors say why the wake failed
   */
  wake(notification: Notification): Promise<NotificationReply>;
}

export interface ElastiServerDeps {
  readonly waker: Waker;
  readonly authenticator: Authenticator;
  readonly sessions: SessionAcceptor;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly readiness: readonly ReadinessCheck[];
  /** Further APIs; each says by itself who may do what, and answers its own failures. */
  readonly apis?: readonly { readonly prefix: string; readonly routes: FastifyPluginAsync }[];
}

export interface ElastiServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Notifications at work at once; more are told to come back. */
  readonly maxNotifications?: number;
  /** Sockets, sessions included; more are closed at once. */
  readonly maxConnections?: number;
  /** How long notifications may go on after close began. */
  readonly drainMs?: number;
  /** And how long the rest of a request may take to arrive: its sender may be gone without a word. */
  readonly restMs?: number;
}

/** Largest body of a notification. KubeElasti's are under 300 bytes. */
export const MAX_NOTIFICATION_BYTES = 16 * 1024;
const defaults = { maxNotifications: 1_000, maxConnections: 2_000, drainMs: 4_000, restMs: 500 };

/**
 * elastiserver: what resolvers talk to. Notifications and sessions need an account; health and metrics are open. After
 * close began it refuses what is new, ends sessions, finishes the notifications at work, and leaves no socket.
 */
export class ElastiServer {
  readonly #deps: ElastiServerDeps;
  readonly #options: Required<ElastiServerOptions>;
  readonly #app;
  readonly #upgrades: SessionUpgrades;
  readonly #notifications;
  #working = 0;
  /** Requests that have arrived as a whole, and are not answered. */
  readonly #whole = new Set<FastifyRequest>();
  #restIsOver = false;
  #closing: Promise<void> | undefined;

  constructor(deps: ElastiServerDeps, options: ElastiServerOptions) {
    this.#deps = deps;
    this.#options = { ...defaults, ...options };
    this.#notifications = deps.metrics.counter(
      "elasti_notifications_total",
      "Notifications of waiting requests, by outcome: scaled, already-awake, in-progress, or the code of the error",
      ["outcome"],
      labelledBy("outcome", ["scaled", "already-awake", "in-progress"]),
    );
    this.#app = Fastify({
      bodyLimit: MAX_NOTIFICATION_BYTES,
      // slow heads and bodies hold a socket no longer than this
      connectionTimeout: 0,
      requestTimeout: 10_000,
      keepAliveTimeout: 75_000,
      return503OnClosing: false,
      exposeHeadRoutes: true,
      // a name of Kubernetes, with what a path makes of it
      routerOptions: { maxParamLength: 512 },
      frameworkErrors: (error, _request, reply) => {
        this.#fail(reply, operatorErrors.ELASTI_NO_SUCH_PATH(errorText(error), { cause: error }));
      },
      http: { shouldUpgradeCallback: isSessionUpgrade },
    }).withTypeProvider<TypeBoxTypeProvider>();
    this.#app.server.maxConnections = this.#options.maxConnections;
    this.#upgrades = new SessionUpgrades(deps);
    this.#app.server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
      void this.#upgrades.handle(request, socket, head);
    });
    this.#routes();
  }

  /** @throws what listening throws, e.g. EADDRINUSE */
  async start(): Promise<void> {
    await this.#app.listen({ host: this.#options.host, port: this.#options.port });
  }

  /** Where it listens; only after start. */
  get address(): AddressInfo {
    return this.#app.server.address() as AddressInfo;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { clock } = this.#deps;
    const { drainMs, restMs } = this.#options;
    const deadline = clock.after(drainMs, () => this.#app.server.closeAllConnections());
    const rest = clock.after(restMs, () => {
      this.#restIsOver = true;
      this.#cutRest();
    });
    this.#upgrades.close();
    await this.#app.close();
    deadline.cancel();
    rest.cancel();
  }

  /** Cuts requests that have not arrived as a whole in time, once all others are answered. */
  #cutRest(): void {
    if (this.#restIsOver && this.#whole.size === 0) this.#app.server.closeAllConnections();
  }

  #routes(): void {
    const app = this.#app;
    // KubeElasti reads JSON whatever the content type says
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => {
      try {
        done(null, JSON.parse(body as string));
      } catch (cause) {
        done(operatorErrors.ELASTI_BAD_NOTIFICATION(`the body is not JSON: ${errorText(cause)}`, { cause }));
      }
    });
    app.setValidatorCompiler(TypeBoxValidatorCompiler);
    app.setSerializerCompiler(() => (value) => JSON.stringify(value));
    app.setErrorHandler((error: FastifyError, request, reply) => {
      const mapped = errorOfRefusal(error, MAX_NOTIFICATION_BYTES);
      if (request.routeOptions.url === paths.notify) {
        this.#notifications.inc({ outcome: mapped instanceof ElastiError ? mapped.code : "internal" });
      }
      if (!(mapped instanceof ElastiError)) {
        this.#deps.logger.error({ path: request.url, error: errorText(mapped) }, "request failed");
      }
      return this.#fail(reply, mapped);
    });
    app.addHook("preHandler", (request, _reply, done) => {
      this.#whole.add(request);
      done();
    });
    app.addHook("onResponse", (request, _reply, done) => {
      this.#whole.delete(request);
      this.#cutRest();
      done();
    });
    app.addHook("onSend", (_request, reply, payload, done) => {
      // a kept-alive connection would hold the close up until its idle timeout
      if (this.#closing !== undefined) reply.header("connection", "close");
      done(null, payload);
    });
    app.setNotFoundHandler((request, reply) => {
      const path = request.url.split("?")[0];
      const error =
        path === paths.notify
          ? operatorErrors.ELASTI_METHOD_NOT_ALLOWED(`${request.method} is not allowed: expected POST`)
          : operatorErrors.ELASTI_NO_SUCH_PATH(`${path} is not served here`);
      return this.#fail(reply, error);
    });
    const authenticated = async (request: FastifyRequest) => {
      const outcome = await this.#deps.authenticator.authenticate(request.headers.authorization);
      if (!outcome.ok) throw outcome.error;
    };
    app.get(paths.warm, { onRequest: authenticated }, (_request, reply) => reply.code(204).send());
    app.post(
      paths.notify,
      {
        schema: { body: NotificationSchema, response: { 200: NotificationReplySchema } },
        onRequest: authenticated,
      },
      async (request, reply) => {
        const answer = await this.#wake(request.body);
        return reply.code(200).send(answer);
      },
    );
    app.get(paths.session, (_request, reply) =>
      this.#fail(reply, operatorErrors.ELASTI_UPGRADE_REQUIRED("send Connection: Upgrade and Upgrade: elasti-session")),
    );
    app.get(paths.live, () => ({ status: "ok" }));
    app.get(paths.ready, (_request, reply) => {
      const answer = health(this.#deps.readiness, this.#closing !== undefined);
      return reply.code(answer.ready ? 200 : 503).send(answer);
    });
    app.get(paths.metrics, async (_request, reply) => {
      const text = await this.#deps.metrics.render();
      return reply.type(this.#deps.metrics.contentType).send(text);
    });
    // inside, so that what is said above of bodies and errors stays outside of it where it says otherwise
    for (const { prefix, routes } of this.#deps.apis ?? []) app.register(routes, { prefix });
  }

  async #wake(notification: Notification): Promise<NotificationReply> {
    if (this.#working >= this.#options.maxNotifications) {
      throw operatorErrors.ELASTI_SERVER_BUSY(`${this.#options.maxNotifications} notifications are at work`);
    }
    this.#working += 1;
    try {
      const reply = await this.#deps.waker.wake(notification);
      this.#notifications.inc({ outcome: reply.outcome });
      return reply;
    } catch (error) {
      const failure = wakeFailure(error);
      const { namespace, svc: service } = notification;
      this.#deps.logger.warn(
        { namespace, service, reason: failure.code, error: errorText(error) },
        "notification could not be served",
      );
      throw failure;
    } finally {
      this.#working -= 1;
    }
  }

  #fail(reply: FastifyReply, error: unknown): FastifyReply {
    const answer = problemAnswer(error, reply.request.url);
    return reply.code(answer.status).headers(answer.headers).serializer(JSON.stringify).send(answer.body);
  }
}
