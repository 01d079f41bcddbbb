import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { headers } from "@elasti/api";
import { type ElastiError, http, PROBLEM_CONTENT_TYPE, problemOf } from "@elasti/core";
import { rawProblem } from "./listeners/refusals.ts";
import type { StaticAnswer } from "./static-answers.ts";

/** Seconds after which a client may try again. */
const retryAfterSeconds: Readonly<Record<string, number>> = {
  ELASTI_GATE_FULL: 5,
  ELASTI_WAKE_FAILED: 30,
  ELASTI_WAKE_QUOTA: 30,
  ELASTI_WAKE_REFUSED: 30,
  ELASTI_WAKE_IMAGE_NOT_FOUND: 30,
  ELASTI_WAKE_IMAGE_PULL: 30,
  ELASTI_WAKE_CRASH_LOOP: 30,
  ELASTI_WAKE_CONTAINER: 30,
  ELASTI_WAKE_UNSCHEDULABLE: 30,
  ELASTI_PINNED_ASLEEP: 60,
  ELASTI_SERVICE_REMOVED: 1,
  ELASTI_DRAINING: 1,
};

/** Answers a request with a problem document. Does nothing when an answer has begun. */
export function answerProblem(response: ServerResponse, error: ElastiError, close: boolean): void {
  if (response.headersSent || response.destroyed) return;
  const body = JSON.stringify(problemOf(error));
  const retryAfter = retryAfterSeconds[error.code];
  const fields: OutgoingHttpHeaders = {
    "content-type": PROBLEM_CONTENT_TYPE,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    [headers.reason]: error.code,
    ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
    ...(close ? { connection: "close" } : {}),
  };
  response.writeHead(error.status, fields);
  response.end(body);
}

export function answerStatic(response: ServerResponse, answer: StaticAnswer, close: boolean): void {
  const bodiless = answer.status === 204;
  response.writeHead(answer.status, {
    ...(bodiless ? {} : { "content-type": answer.contentType, "content-length": Buffer.byteLength(answer.body) }),
    "cache-control": "no-store",
    [headers.reason]: answer.reason,
    ...(close ? { connection: "close" } : {}),
  });
  response.end(bodiless ? undefined : answer.body);
}

/** Answers a connection that has left the HTTP server, or that it could not parse, and closes it. */
export function answerSocket(socket: Duplex, error: ElastiError): void {
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  socket.end(rawProblem(problemOf(error), http.STATUS_CODES[error.status] ?? "Error"), () => socket.destroy());
}

/**
 * Why a request must not be passed on: two readers could take it for two different things. Node's parser lets these through.
 */
export function unsafeReason(request: IncomingMessage): string | undefined {
  if (request.httpVersionMajor !== 1) return "HTTP/0.9 is not served";
  const { rawHeaders } = request;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  if (hosts > 1) return "more than one Host";
  const coding = request.headers["transfer-encoding"];
  if (request.httpVersionMinor === 0) return coding === undefined ? undefined : "Transfer-Encoding in HTTP/1.0";
  if (hosts === 0) return "no Host in HTTP/1.1";
  return coding === undefined || coding.trim().toLowerCase() === "chunked"
    ? undefined
    : "a transfer coding but chunked";
}
