import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { headers } from "@elasti/api";
import { type ElastiError, PROBLEM_CONTENT_TYPE, problemOf } from "@elasti/core";

/** Answers a request with the problem document of `error`. */
export function answerProblem(response: ServerResponse, error: ElastiError): void {
  const body = Buffer.from(JSON.stringify(problemOf(error)));
  response.writeHead(error.status, {
    "content-type": PROBLEM_CONTENT_TYPE,
    "content-length": body.length,
    [headers.reason]: error.code,
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

/** The same on a connection that has left the HTTP server, which it ends. */
export function answerProblemRaw(socket: Duplex, error: ElastiError): void {
  const body = JSON.stringify(problemOf(error));
  socket.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ""}\r\ncontent-type: ${PROBLEM_CONTENT_TYPE}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n${headers.reason}: ${error.code}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/**
 * Ends a connection so that the client cannot take what it has for a whole answer: an answer that ends with the connection
 * would look complete after a FIN.
 */
export function reset(socket: Duplex | null): void {
  if (socket === null || socket.destroyed) return;
  if ("resetAndDestroy" in socket && typeof socket.resetAndDestroy === "function") socket.resetAndDestroy();
  else socket.destroy();
}

/** Whether nobody is there to take the answer. */
export function clientLeft(request: IncomingMessage, response: ServerResponse): boolean {
  return response.destroyed || response.closed || request.socket.destroyed;
}
