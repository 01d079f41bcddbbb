import type { IncomingMessage, ServerResponse } from "node:http";
import { type Clock, ElastiError, errorText, type Timer } from "@elasti/core";
import { answerProblem } from "../answers.ts";
import type { ForwardOptions, ForwardOutcome, PodTarget } from "../contracts.ts";
import { errors } from "../errors.ts";
import { clientLeft } from "./client-side.ts";
import type { Connections, PodConnection } from "./connections.ts";
import { Exchange } from "./exchange.ts";
import { type OutgoingHead, outgoingHead } from "./headers.ts";

/** Methods whose repetition changes nothing (RFC 9110 section 9.2.2), of those that come without a body. */
const repeatable = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
/** How long the rest of a request is read and thrown away after its answer, so that the answer is not lost to a reset. */
const lingerMs = 5_000;

/** Carries HTTP/1 requests to pods. */
export class Http1 {
  readonly #connections: Connections;
  readonly #clock: Clock;
  readonly #lingering = new Map<IncomingMessage, Timer>();

  constructor(connections: Connections, clock: Clock) {
    this.#connections = connections;
    this.#clock = clock;
  }

  /** One try on one pod; inside it, once more on a new connection where the first one was stale and nothing can happen twice. */
  async forward(
    request: IncomingMessage,
    response: ServerResponse,
    pod: PodTarget,
    options: ForwardOptions,
  ): Promise<ForwardOutcome> {
    const startedAt = this.#clock.monotonic();
    let head: OutgoingHead;
    try {
      head = outgoingHead(request);
    } catch (error) {
      if (!(error instanceof ElastiError)) throw error;
      return this.#refuse(request, response, error, options);
    }
    const mayRepeat = !head.hasBody && repeatable.has(request.method ?? "");
    let connection = this.#connections.idle(pod);
    for (;;) {
      if (connection === undefined) {
        const dialled = await this.#dial(request, response, pod);
        if ("kind" in dialled) return dialled;
        connection = dialled;
      }
      const reused = connection.uses > 0;
      const used = connection;
      const onComplete = () => this.#connections.release(used);
      const clock = this.#clock;
      const exchange = new Exchange({ request, response, connection, head, options, startedAt, clock, onComplete });
      const end = await exchange.run();
      if (!exchange.complete) used.socket.destroy();
      if (end.kind === "client-left") return end;
      if (end.kind === "answered") {
        this.#linger(request, response, options.closeConnection);
        return end;
      }
      if (reused && (end.kind === "unsent" || (end.kind === "silent" && mayRepeat))) {
        connection = undefined;
        continue;
      }
      if (end.kind === "unsent") return { kind: "not-sent", error: end.error };
      const why =
        end.kind === "silent" ? "the pod ended the connection without an answer" : "the pod's answer broke off";
      return this.#refuse(
        request,
        response,
        errors.ELASTI_FORWARD_FAILED(`${why}: ${errorText(end.error)}`, { cause: end.error }),
        options,
      );
    }
  }

  async #dial(
    request: IncomingMessage,
    response: ServerResponse,
    pod: PodTarget,
  ): Promise<PodConnection | ForwardOutcome> {
    const leaving = new AbortController();
    const onClose = () => leaving.abort(new Error("the client left"));
    response.once("close", onClose);
    try {
      if (clientLeft(request, response)) return { kind: "client-left" };
      return await this.#connections.dial(pod, leaving.signal);
    } catch (error) {
      if (leaving.signal.aborted) return { kind: "client-left" };
      return { kind: "not-sent", error: error instanceof Error ? error : new Error(String(error)) };
    } finally {
      response.off("close", onClose);
    }
  }

  async #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    error: ElastiError,
    options: ForwardOptions,
  ): Promise<ForwardOutcome> {
    if (clientLeft(request, response)) return { kind: "client-left" };
    const closed = new Promise((resolve) => response.once("close", resolve));
    answerProblem(response, error, options.closeConnection);
    this.#linger(request, response, options.closeConnection);
    await closed;
    return { kind: "answered", status: error.status, fromPod: false };
  }

  /**
   * After an answer that came before the end of the request: throws the rest away for a while. Closing at once would reset
   * the connection, and the client might lose the answer (RFC 9112 section 9.6).
   */
  #linger(request: IncomingMessage, response: ServerResponse, close: boolean): void {
    if (request.complete || request.destroyed || this.#lingering.has(request)) return;
    const { socket } = request;
    const wantsClose = close || /\bclose\b/i.test(request.headers.connection ?? "");
    const end = () => {
      timer.cancel();
      this.#lingering.delete(request);
      request.off("end", end).off("close", end);
      if (wantsClose && response.writableFinished) socket.end();
    };
    const timer = this.#clock.after(lingerMs, () => {
      end();
      socket.destroy();
    });
    this.#lingering.set(request, timer);
    request.once("end", end).once("close", end).resume();
  }

  close(): void {
    for (const [request, timer] of [...this.#lingering]) {
      timer.cancel();
      request.socket.destroy();
    }
    this.#lingering.clear();
  }
}
