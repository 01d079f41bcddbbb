import type { IncomingMessage } from "node:http";
import { headers as names } from "@elasti/api";
import { errors } from "../errors.ts";

/** Fields that speak of one connection only (RFC 9110 section 7.6.1), and `Expect`, which is answered here. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
]);
/** What `Connection` may not take away: without them the message means something else. */
const neverListed = new Set(["host", "content-length", "content-type", "x-forwarded-for"]);

/** What is sent to a pod. */
export interface OutgoingHead {
  /** Origin form. */
  readonly path: string;
  /** Names and values in turn, in the case and order of the client. */
  readonly headers: string[];
  readonly hasBody: boolean;
}

function listedIn(connection: string | undefined): Set<string> | undefined {
  if (connection === undefined) return undefined;
  const listed = new Set<string>();
  for (const token of connection.toLowerCase().split(",")) {
    const name = token.trim();
    if (name !== "" && !neverListed.has(name)) listed.add(name);
  }
  return listed;
}

/** `::ffff:10.0.0.1` is how a dual-stack socket writes 10.0.0.1. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

/** Whether the connection of a request is encrypted up to here. */
export function schemeOf(request: IncomingMessage): "http" | "https" {
  return "encrypted" in request.socket && request.socket.encrypted === true ? "https" : "http";
}

/** `GET http://host/path` names its host twice; the request target counts (RFC 9112 section 3.2.2). */
function originForm(target: string): { path: string; host?: string } {
  if (target.startsWith("/")) return { path: target };
  const match = /^https?:\/\/([^/?#]+)([^#]*)/i.exec(target);
  if (match === null) throw errors.ELASTI_BAD_REQUEST("the request target is neither a path nor an absolute URL");
  const rest = match[2]!;
  return { path: rest.startsWith("/") ? rest : `/${rest}`, host: match[1]! };
}

/** The head to send to a pod for `request`, which must not be one that `unsafeReason` names. @throws ELASTI_BAD_REQUEST */
export function outgoingHead(request: IncomingMessage): OutgoingHead {
  const { path, host } = originForm(request.url ?? "/");
  const { rawHeaders } = request;
  const listed = listedIn(request.headers.connection);
  const out: string[] = [];
  let lastForwardedFor = -1;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    const lower = name.toLowerCase();
    if (hopByHop.has(lower) || listed?.has(lower) === true) continue;
    if (lower === "x-forwarded-for") lastForwardedFor = out.length + 1;
    out.push(name, lower === "host" && host !== undefined ? host : rawHeaders[i + 1]!);
  }
  const peer = request.socket.remoteAddress;
  if (peer !== undefined) {
    const address = plainAddress(peer);
    if (lastForwardedFor < 0) out.push("X-Forwarded-For", address);
    else out[lastForwardedFor] = `${out[lastForwardedFor]}, ${address}`;
  }
  if (request.headers["x-forwarded-proto"] === undefined) out.push("X-Forwarded-Proto", schemeOf(request));
  const forwardedHost = host ?? request.headers.host;
  if (request.headers["x-forwarded-host"] === undefined && forwardedHost !== undefined)
    out.push("X-Forwarded-Host", forwardedHost);
  const length = request.headers["content-length"];
  return {
    path,
    headers: out,
    hasBody: request.headers["transfer-encoding"] !== undefined || (length !== undefined && Number(length) > 0),
  };
}

/** The X-Forwarded fields of a request, as they are to be sent: what came, and this hop. */
export function forwardedFields(request: IncomingMessage): Record<string, string> {
  const { headers, socket } = request;
  const list = (value: string | string[] | undefined) => (Array.isArray(value) ? value.join(", ") : value);
  const out: Record<string, string> = {};
  const before = list(headers["x-forwarded-for"]);
  const peer = socket.remoteAddress === undefined ? undefined : plainAddress(socket.remoteAddress);
  const path = [before, peer].filter((part) => part !== undefined).join(", ");
  if (path !== "") out["x-forwarded-for"] = path;
  out["x-forwarded-proto"] = list(headers["x-forwarded-proto"]) ?? schemeOf(request);
  const host = list(headers["x-forwarded-host"]) ?? headers.host;
  if (host !== undefined) out["x-forwarded-host"] = host;
  return out;
}

/** Names and values in turn, as text. Fields are octets; latin1 keeps each of them. */
export function latin1(raw: unknown): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (Buffer.isBuffer(part) ? part.toString("latin1") : String(part)));
}

/** What this proxy adds to an answer. */
export interface AnswerExtras {
  readonly serverTiming?: string | undefined;
  readonly coldStartMs?: number | undefined;
}

export function extraHeaders(extras: AnswerExtras): string[] {
  const out: string[] = [];
  if (extras.serverTiming !== undefined) out.push(names.serverTiming, extras.serverTiming);
  if (extras.coldStartMs !== undefined) out.push(names.coldStart, String(Math.round(extras.coldStartMs)));
  return out;
}

/**
 * The fields of an answer that the client gets.
 * @param chunked whether the answer will be chunked here too: only then may it announce trailers
 */
export function incomingHeaders(raw: readonly string[], chunked: (hasLength: boolean) => boolean): string[] {
  let connection: string | undefined;
  let hasLength = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    if (name.length === 10 && name.toLowerCase() === "connection")
      connection = connection === undefined ? raw[i + 1]! : `${connection},${raw[i + 1]}`;
    else if (name.length === 14 && name.toLowerCase() === "content-length") hasLength = true;
  }
  const listed = listedIn(connection);
  const mayTrail = chunked(hasLength);
  const out: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const lower = name.toLowerCase();
    if (lower === "trailer" ? !mayTrail : hopByHop.has(lower) || listed?.has(lower) === true) continue;
    out.push(name, raw[i + 1]!);
  }
  return out;
}
