import type { RequestHead } from "../static-answers.ts";

/** Longest request head, here and in the HTTP server. */
export const MAX_HEAD_BYTES = 64 * 1024;

const headEnd = Buffer.from("\r\n\r\n");
const requestLine = /^([A-Z]+) (\S+) HTTP\/1\.([01])$/;
const h2Preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export type Protocol = "http1" | "http2" | "tls" | "undecided";

/** Which protocol the first bytes of a connection belong to. Whatever is not known otherwise is left to the HTTP/1 parser. */
export function protocolOf(bytes: Buffer): Protocol {
  // A TLS record of type handshake, version 3.x
  if (bytes[0] === 0x16 && (bytes.length === 1 || bytes[1] === 0x03)) return "tls";
  const length = Math.min(bytes.length, h2Preface.length);
  if (bytes.compare(h2Preface, 0, length, 0, length) !== 0) return "http1";
  // "PRI " cannot begin a request of HTTP/1
  return bytes.length >= 4 ? "http2" : "undecided";
}

/** Index after the blank line that ends the head, or -1. @param from where bytes begin that were not searched before */
export function findHeadEnd(bytes: Buffer, from: number): number {
  const index = bytes.indexOf(headEnd, Math.max(0, from - 3));
  return index < 0 ? -1 : index + headEnd.length;
}

/**
 * A light reading of a complete request head, good enough to tell a plain request from what has to be looked at by the
 * HTTP server at once. Undefined for everything that is not plainly HTTP/1.0 or 1.1: bad lines, two Hosts, 1.0 with
 * Transfer-Encoding, other codings than chunked, CONNECT. Nothing is forwarded on the strength of this reading.
 */
export function scanHead(bytes: Buffer, end: number): RequestHead | undefined {
  const lines = bytes.toString("latin1", 0, end - headEnd.length).split("\r\n");
  const first = requestLine.exec(lines[0]!);
  if (first === null || first[1] === "CONNECT") return undefined;
  const headers: Record<string, string> = Object.create(null);
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!;
    const colon = line.indexOf(":");
    if (colon <= 0 || line[0] === " " || line[0] === "\t") return undefined;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const known = headers[name];
    if (known !== undefined && name === "host") return undefined;
    headers[name] = known === undefined ? value : `${known}, ${value}`;
  }
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && (first[3] === "0" || coding.toLowerCase() !== "chunked")) return undefined;
  if (first[3] === "1" && !("host" in headers)) return undefined;
  return { method: first[1], url: first[2], headers };
}
