import type { IncomingMessage, ServerResponse } from "node:http";
import { type BlockList, isIPv6 } from "node:net";
import type { Duplex } from "node:stream";
import { type Clock, ElastiError, errorText, type Logger } from "@elasti/core";
import { answerProblem, answerSocket, answerStatic, unsafeReason } from "./answers.ts";
import type { Activation, Forwarder, ForwardOptions, ForwardOutcome } from "./contracts.ts";
import { errors } from "./errors.ts";
import { PodBusy } from "./forward/connections.ts";
import type { Admission, Hold } from "./gate/hold.ts";
import { type Connection, connectionOf, routeFor } from "./listeners/connection.ts";
import type { ResolverMetrics } from "./metrics.ts";
import type { Route } from "./routes.ts";
import { checkerAnswer } from "./static-answers.ts";

export interface RequestPathOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly forwarder: Forwarder;
  readonly activation: Activation;
  readonly metrics: ResolverMetrics;
  readonly routeOf: (port: number) => Route | undefined;
  readonly routeOfHost: (host: string) => Route | undefined;
  /** The port on which the host name says which service is meant. */
  readonly hostPort: number;
  /** Peers whose X-Forwarded-Host is believed on that port. */
  readonly trustedProxies: BlockList;
  /** The process is on its way out: connections are told to close. */
  readonly draining: () => boolean;
}

/** Requests of one connection that may wait for the answers before theirs; a client that sends more is cut off. */
const MAX_PIPELINED = 100;

/** A request or an upgrade, as far as waiting and being sent on differ. */
interface Exchange {
  readonly route: Route;
  /** Emits `close` when the client has gone. */
  readonly client: Duplex | ServerResponse;
  send(admission: Admission, options: ForwardOptions): Promise<ForwardOutcome>;
  refuse(error: ElastiError): void;
}

/**
 * The walk of every request that the HTTP server reads:
 *
 *   unsafe? ─▶ route ─▶ static answer ─▶ count ─▶ gate ─▶ pod ─▶ forward
 *                                                  ▲               │ nothing was sent
 *                                                  └── another pod ┘
 *
 * A connection that was held before it had a parser brings its admission (or its failure) along for its first request.
 */
export class RequestPath {
  readonly #options: RequestPathOptions;

  constructor(options: RequestPathOptions) {
    this.#options = options;
  }

  request(request: IncomingMessage, response: ServerResponse): void {
    const connection = connectionOf(request.socket);
    if (connection === undefined || connection.active >= MAX_PIPELINED) {
      request.socket.destroy();
      return;
    }
    const { last } = connection;
    const isAlone = connection.active === 0;
    connection.active += 1;
    const served = isAlone
      ? this.#serve(connection, request, response)
      : last.then(() => this.#serveNext(connection, request, response));
    const ended = () => {
      connection.active -= 1;
    };
    connection.last = served.then(ended, (error: unknown) => {
      this.#options.logger.error({ error: errorText(error), reason: "request-failed" }, "request failed");
      if (response.headersSent) response.destroy();
      else this.#problem(response, errors.ELASTI_FORWARD_FAILED("the resolver failed"), true);
      ended();
    });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const connection = connectionOf(request.socket);
    // behind requests that are not answered yet, the upgraded protocol and their answers would be mixed
    if (connection === undefined || connection.active > 0) {
      socket.destroy();
      return;
    }
    this.#serveUpgrade(connection, request, socket, head).catch((error: unknown) => {
      this.#options.logger.error({ error: errorText(error), reason: "upgrade-failed" }, "upgrade failed");
      socket.destroy();
    });
  }

  /** CONNECT asks for a tunnel to anywhere: this is no forward proxy. */
  connect(request: IncomingMessage, socket: Duplex): void {
    this.#takeBack(connectionOf(request.socket));
    const error = errors.ELASTI_BAD_REQUEST("CONNECT is not served");
    this.#options.metrics.rejected(error.code);
    answerSocket(socket, error);
  }

  /** What the parser refused. */
  clientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    const connection = connectionOf(socket as Connection["socket"]);
    this.#takeBack(connection);
    if (error.code === "ECONNRESET" || connection === undefined || connection.active > 0) {
      socket.destroy();
      return;
    }
    const answer =
      error.code === "HPE_HEADER_OVERFLOW"
        ? errors.ELASTI_HEAD_TOO_LARGE("the head of the request is too large")
        : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? errors.ELASTI_HEAD_TIMEOUT("the head of the request did not arrive in time")
          : errors.ELASTI_BAD_REQUEST("what was sent is not HTTP/1.1");
    this.#options.metrics.rejected(answer.code);
    answerSocket(socket, answer);
  }

  /** Serves a request that was pipelined behind another one: in order, and not after an answer that closes the connection. */
  async #serveNext(connection: Connection, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (connection.socket.writable) await this.#serve(connection, request, response);
  }

  async #serve(connection: Connection, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { metrics, draining, forwarder } = this.#options;
    const unsafe = unsafeReason(request);
    if (unsafe !== undefined) {
      this.#takeBack(connection);
      // Whatever follows on this connection cannot be trusted to begin where it seems to.
      this.#problem(response, errors.ELASTI_BAD_REQUEST(unsafe), true);
      return;
    }
    const verdict = connection.takeVerdict();
    if (verdict?.error !== undefined) {
      this.#problem(response, verdict.error, draining());
      return;
    }
    const route = verdict?.route ?? this.#routeOf(connection, request);
    if (route === undefined) {
      // nothing else will come of it: what is sent on it is meant for nobody else
      this.#problem(response, noRoute(connection), draining() || connection.port !== this.#options.hostPort);
      return;
    }
    const { service, portName } = route;
    let admission = verdict?.admission;
    let counted = true;
    if (admission === undefined) {
      const answer = service.staticAnswer(request);
      if (answer !== undefined) {
        metrics.requestsStatic.inc();
        answerStatic(response, answer, draining());
        return;
      }
      const check = checkerAnswer(request);
      counted = check === undefined;
      const { refusal } = service;
      if (refusal !== undefined && counted) {
        this.#problem(response, refusal, draining());
        return;
      }
      if (counted) service.state.countRequest();
      admission = service.gate.admit(portName, counted);
      if (admission === undefined && check !== undefined) {
        metrics.requestsStatic.inc();
        answerStatic(response, check, draining());
        return;
      }
    }
    await this.#exchange(
      {
        route,
        client: response,
        send: (leave, options) => forwarder.http(request, response, leave.pod, options),
        refuse: (error) => this.#problem(response, error, draining()),
      },
      admission,
      counted,
      draining() || (connection.port !== this.#options.hostPort && service.servesDirectly),
    );
  }

  async #serveUpgrade(connection: Connection, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const refuse = (error: ElastiError) => {
      this.#options.metrics.rejected(error.code);
      answerSocket(socket, error);
    };
    const unsafe = unsafeReason(request);
    if (unsafe !== undefined) {
      this.#takeBack(connection);
      refuse(errors.ELASTI_BAD_REQUEST(unsafe));
      return;
    }
    const verdict = connection.takeVerdict();
    if (verdict?.error !== undefined) {
      refuse(verdict.error);
      return;
    }
    const route = verdict?.route ?? this.#routeOf(connection, request);
    if (route === undefined) {
      refuse(noRoute(connection));
      return;
    }
    const { service, portName } = route;
    let admission = verdict?.admission;
    if (admission === undefined) {
      const { refusal } = service;
      if (refusal !== undefined) {
        refuse(refusal);
        return;
      }
      service.state.countRequest();
      admission = service.gate.admit(portName, true);
    }
    const send = (leave: Admission, options: ForwardOptions) =>
      this.#options.forwarder.upgrade(request, socket, head, leave.pod, options);
    await this.#exchange({ route, client: socket, send, refuse }, admission, true, false);
  }

  /** Sends it to pods until one has got it, waiting in the gate while there is none. */
  async #exchange(
    exchange: Exchange,
    first: Admission | undefined,
    counted: boolean,
    closeConnection: boolean,
  ): Promise<void> {
    const { gate, pods } = exchange.route.service;
    const { portName } = exchange.route;
    let admission = first;
    let refused: Admission | undefined;
    for (;;) {
      if (admission === undefined) {
        const waited = await this.#wait(exchange, counted, refused);
        if (waited === undefined) return;
        if (waited instanceof ElastiError) {
          exchange.refuse(waited);
          return;
        }
        admission = waited;
      }
      if (exchange.client.destroyed) {
        gate.finish(admission, "left");
        return;
      }
      let outcome: ForwardOutcome;
      try {
        outcome = await exchange.send(admission, this.#forwardOptions(exchange.route, admission, closeConnection));
      } catch (error) {
        gate.finish(admission, "left");
        throw error;
      }
      if (outcome.kind !== "not-sent") {
        const answered = outcome.kind === "answered" && outcome.fromPod !== false;
        gate.finish(admission, answered ? "answered" : "left");
        if (outcome.kind === "answered") this.#count(admission);
        return;
      }
      const isBusy = outcome.error instanceof PodBusy;
      if (!isBusy) pods.reportFailure(admission.pod);
      gate.finish(admission, isBusy ? "busy" : "refused");
      refused = admission;
      admission = gate.readmit(portName, refused);
    }
  }

  /** An admission, an error, or undefined when the client left meanwhile. */
  async #wait(
    exchange: Exchange,
    counted: boolean,
    refused: Admission | undefined,
  ): Promise<Admission | ElastiError | undefined> {
    const { gate } = exchange.route.service;
    const { client } = exchange;
    const end = Promise.withResolvers<Admission | ElastiError | undefined>();
    const hold: Hold = { release: end.resolve, fail: end.resolve };
    const ticket = gate.hold(hold, exchange.route.portName, counted, refused);
    if (ticket instanceof ElastiError) return ticket;
    const onClose = () => {
      gate.abandon(ticket);
      end.resolve(undefined);
    };
    client.once("close", onClose);
    const waited = await end.promise;
    client.off("close", onClose);
    return waited;
  }

  #forwardOptions(route: Route, admission: Admission, closeConnection: boolean): ForwardOptions {
    const { heldSince } = admission;
    if (heldSince === undefined) return { closeConnection };
    const { clock, activation, metrics } = this.#options;
    const now = clock.monotonic();
    const { service } = route;
    let from = heldSince;
    let timing = `hold;dur=${(now - heldSince).toFixed(1)}`;
    // Each phase ends where the next begins; one that is not known, or lies before the hold, is left out.
    const phase = (name: "notify" | "start" | "ready", end: number | undefined) => {
      if (end === undefined || end < from || end > now) return;
      timing += `, ${name};dur=${(end - from).toFixed(1)}`;
      metrics.coldStartPhase(name, end - from);
      from = end;
    };
    phase("notify", activation.acceptedAt?.(service.namespace, service.name));
    phase("start", service.pods.seenAt?.(admission.pod));
    phase("ready", now);
    return { closeConnection, serverTiming: timing, coldStartMs: Math.round(now - heldSince) };
  }

  #count(admission: Admission): void {
    const { metrics } = this.#options;
    if (admission.heldSince === undefined) metrics.requestsWarm.inc();
    else metrics.requestsCold.inc();
  }

  #routeOf(connection: Connection, request: IncomingMessage): Route | undefined {
    const { hostPort, routeOf, routeOfHost, trustedProxies } = this.#options;
    if (connection.port !== hostPort) return routeFor(connection, routeOf);
    const forwarded = request.headers["x-forwarded-host"];
    const { remoteAddress } = request.socket;
    if (typeof forwarded === "string" && remoteAddress !== undefined) {
      const plain = remoteAddress.startsWith("::ffff:") ? remoteAddress.slice(7) : remoteAddress;
      if (trustedProxies.check(plain, isIPv6(plain) ? "ipv6" : "ipv4")) return routeOfHost(forwarded.trim());
    }
    // A target in absolute form names the host, whatever Host says (RFC 9112 section 3.2.2).
    const absolute = /^https?:\/\/([^/?#]*)/i.exec(request.url ?? "")?.[1];
    return routeOfHost(absolute ?? request.headers.host ?? "");
  }

  #problem(response: ServerResponse, error: ElastiError, close: boolean): void {
    this.#options.metrics.rejected(error.code);
    answerProblem(response, error, close);
  }

  /** The admission of a connection whose first request comes to nothing. */
  #takeBack(connection: Connection | undefined): void {
    const verdict = connection?.takeVerdict();
    if (verdict?.admission !== undefined) verdict.route.service.gate.finish(verdict.admission, "left");
  }
}

/** Why there is no route: a connection outlives the ElastiService by whose port it came, or nothing ever led anywhere. */
function noRoute(connection: Connection): ElastiError {
  return connection.origin === undefined
    ? errors.ELASTI_UNKNOWN_SERVICE("no ElastiService leads here")
    : errors.ELASTI_SERVICE_REMOVED("the ElastiService of this Service has been deleted");
}
