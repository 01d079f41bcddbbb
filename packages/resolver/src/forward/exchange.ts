import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "@elasti/core";
import type { Dispatcher } from "undici";
import type { ForwardOptions } from "../contracts.ts";
import { BodyRelay } from "./body-relay.ts";
import { clientLeft, reset } from "./client-side.ts";
import type { PodConnection } from "./connections.ts";
import { extraHeaders, incomingHeaders, latin1, type OutgoingHead } from "./headers.ts";

/** How one try on one connection ended. */
export type ExchangeEnd =
  /** The pod answered, and the client has it, or its connection was reset in the middle. */
  | { readonly kind: "answered"; readonly status: number; readonly fromPod: boolean }
  /** Nothing was written and the body is unread. */
  | { readonly kind: "unsent"; readonly error: Error }
  /** Bytes were written and not one came back. */
  | { readonly kind: "silent"; readonly error: Error }
  /** It broke after the pod had begun to answer, and before the client was told anything. */
  | { readonly kind: "broken"; readonly error: Error }
  | { readonly kind: "client-left" };

class ClientLeft extends Error {
  override readonly name = "ClientLeft";
}

const ignore = (): void => {};
const validStatusText = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * One request and its answer between a client and one connection to a pod: the handler that the engine calls.
 *
 *   client ==request==> BodyRelay ==> undici ==> pod
 *   client <=response== ServerResponse <== this <== undici
 *
 * Both directions stop when their reader does. The client's leaving ends the pod's side at once; the pod's
 * breaking off after the head ends the client's side with a reset.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #connection: PodConnection;
  readonly #head: OutgoingHead;
  readonly #options: ForwardOptions;
  readonly #startedAt: number;
  readonly #clock: Clock;
  readonly #onComplete: () => void;
  readonly #result = Promise.withResolvers<ExchangeEnd>();
  readonly #bytesReadBefore: number;
  readonly #bytesWrittenBefore: number;
  #body: BodyRelay | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  /** The pod's side is over. */
  #complete = false;
  #over = false;
  #draining = false;

  constructor(given: {
    request: IncomingMessage;
    response: ServerResponse;
    connection: PodConnection;
    head: OutgoingHead;
    options: ForwardOptions;
    startedAt: number;
    clock: Clock;
    /** The pod's answer came whole: its connection may be used again, if the engine keeps it. */
    onComplete: () => void;
  }) {
    this.#request = given.request;
    this.#response = given.response;
    this.#connection = given.connection;
    this.#head = given.head;
    this.#options = given.options;
    this.#startedAt = given.startedAt;
    this.#clock = given.clock;
    this.#onComplete = given.onComplete;
    this.#bytesReadBefore = given.connection.socket.bytesRead;
    this.#bytesWrittenBefore = given.connection.socket.bytesWritten;
  }

  /** Whether the pod's answer came whole. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Runs to the end of the client's side. */
  async run(): Promise<ExchangeEnd> {
    if (clientLeft(this.#request, this.#response)) return { kind: "client-left" };
    this.#response.on("close", this.#onClientClose).on("error", ignore);
    if (this.#head.hasBody) this.#body = new BodyRelay(this.#request, this.#onBodyWanted);
    this.#connection.uses += 1;
    this.#connection.continues.expect();
    this.#connection.client.dispatch(
      {
        path: this.#head.path,
        method: this.#request.method ?? "GET",
        headers: this.#head.headers,
        body: this.#body ?? null,
      },
      this,
    );
    try {
      return await this.#result.promise;
    } finally {
      // its error listener stays: a write that meets a client that has just left is told of later
      this.#response.off("close", this.#onClientClose).off("drain", this.#onDrain);
      this.#body?.destroy();
    }
  }

  readonly #onBodyWanted = (): void => {
    const response = this.#response;
    const { headers, httpVersionMinor } = this.#request;
    if (headers.expect?.toLowerCase() !== "100-continue" || httpVersionMinor === 0 || response.headersSent) return;
    // Node's own mark: it was told already, by whoever accepted the request or before another pod was tried
    if ("_sent100" in response && response._sent100 === true) return;
    response.writeContinue();
  };

  /** Fires after the last byte was handed to the kernel, and when the client has gone. */
  readonly #onClientClose = (): void => {
    if (this.#response.writableFinished) {
      this.#end({ kind: "answered", status: this.#status, fromPod: true });
      return;
    }
    this.#end({ kind: "client-left" });
    // not begun yet: onRequestStart will see that it is over
    this.#controller?.abort(new ClientLeft("the client left"));
  };

  #end(end: ExchangeEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#result.resolve(end);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(new ClientLeft("the client left"));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusText?: string,
  ): void {
    if (this.#over) return;
    const raw = latin1(controller.rawHeaders);
    const response = this.#response;
    const clientIs11 = this.#request.httpVersionMajor === 1 && this.#request.httpVersionMinor >= 1;
    if (status < 200) {
      if (clientIs11 && !response.headersSent)
        response.writeInformation(
          status,
          incomingHeaders(raw, () => false),
        );
      return;
    }
    this.#status = status;
    const mayHaveBody = this.#request.method !== "HEAD" && status !== 204 && status !== 304;
    const headers = incomingHeaders(raw, (hasLength) => clientIs11 && mayHaveBody && !hasLength);
    headers.push(...extraHeaders({ serverTiming: this.#serverTiming(), coldStartMs: this.#options.coldStartMs }));
    response.sendDate = false;
    // While the request is still coming in, the server would cut it off after the answer, and the answer with it
    if (!this.#request.complete && this.#head.hasBody && clientIs11) response.shouldKeepAlive = true;
    else if (this.#options.closeConnection) response.shouldKeepAlive = false;
    const text = statusText !== undefined && validStatusText.test(statusText) ? statusText : "";
    if (text === "") response.writeHead(status, headers);
    else response.writeHead(status, text, headers);
    // a head whose body comes later (server-sent events) goes out by itself, any other with its body
    process.nextTick(() => {
      if (!this.#over && !this.#complete) response.flushHeaders();
    });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over || this.#response.write(chunk)) return;
    controller.pause();
    if (this.#draining) return;
    this.#draining = true;
    this.#response.on("drain", this.#onDrain);
  }

  readonly #onDrain = (): void => {
    this.#controller?.resume();
  };

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    // the engine takes a reset for the end of a body that has no length
    const { failure } = this.#connection;
    if (failure !== undefined) {
      this.onResponseError(controller, failure);
      return;
    }
    this.#complete = true;
    this.#onComplete();
    if (this.#over) return;
    const trailers = latin1(controller.rawTrailers);
    if (trailers.length > 0 && this.#response.chunkedEncoding) {
      const pairs: [string, string][] = [];
      for (let i = 0; i < trailers.length; i += 2) pairs.push([trailers[i]!, trailers[i + 1]!]);
      this.#response.addTrailers(pairs);
    }
    this.#body?.destroy();
    this.#response.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return;
    if (this.#response.headersSent) {
      const status = this.#status;
      reset(this.#response.socket);
      this.#end({ kind: "answered", status, fromPod: false });
      return;
    }
    const { bytesRead, bytesWritten } = this.#connection.socket;
    // the counters of a socket stay after its end
    const wrote = bytesWritten > this.#bytesWrittenBefore;
    if (!wrote && this.#body?.taken !== true) this.#end({ kind: "unsent", error });
    else if (bytesRead > this.#bytesReadBefore) this.#end({ kind: "broken", error });
    else this.#end({ kind: "silent", error });
  }

  #serverTiming(): string | undefined {
    const { serverTiming } = this.#options;
    if (serverTiming === undefined) return undefined;
    const forward = `forward;dur=${(this.#clock.monotonic() - this.#startedAt).toFixed(1)}`;
    return serverTiming === "" ? forward : `${serverTiming}, ${forward}`;
  }
}
