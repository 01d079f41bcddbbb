import { PROBLEM_CONTENT_TYPE, type Problem, problemOf } from "@elasti/core";
import { errors } from "../errors.ts";

/** HTTP/2 frames: an empty SETTINGS, then GOAWAY of stream 0 with HTTP_1_1_REQUIRED (RFC 9113 sections 6.5, 6.8 and 7). */
const http2 = Buffer.from([
  ...[0, 0, 0, 4, 0, 0, 0, 0, 0],
  ...[0, 0, 8, 7, 0, 0, 0, 0, 0],
  ...[0, 0, 0, 0, 0, 0, 0, 0x0d],
]);

/** A TLS record with the fatal alert handshake_failure (RFC 8446 section 6). */
const tls = Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28]);

/** A whole HTTP/1.1 answer with a problem document, for connections that no HTTP server has. It closes the connection. */
export function rawProblem(problem: Problem, statusText: string): Buffer {
  const body = JSON.stringify(problem);
  return Buffer.from(
    `HTTP/1.1 ${problem.status} ${statusText}\r\ncontent-type: ${PROBLEM_CONTENT_TYPE}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nelasti-reason: ${problem.reason ?? "error"}\r\n` +
      `connection: close\r\n\r\n${body}`,
    "utf8",
  );
}

export const refusalBytes = {
  http2,
  tls,
  headTimeout: rawProblem(
    problemOf(errors.ELASTI_HEAD_TIMEOUT("the head of the request did not arrive in time")),
    "Request Timeout",
  ),
} as const;
