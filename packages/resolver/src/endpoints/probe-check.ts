import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ProbeTarget } from "@elasti/api";
import type { Clock } from "@elasti/core";
import { dial } from "../forward/dial.ts";
import { checkGrpc } from "./grpc-health.ts";

/** How an attempt ended: the pod is up, nobody listens (or it hung up), or the app said no. */
export type Attempt = "passed" | "refused" | "rejected";

/** Longest head of a probe's answer. */
const maxHeadBytes = 16 * 1024;

/** A host in a URL or a Host field. */
const bracketed = (address: string): string => (address.includes(":") ? `[${address}]` : address);

/** The request of an http check, as the kubelet would send it; headers of the probe come before ours of the same name. */
export function probeRequest(address: string, check: ProbeTarget): string {
  const given = check.headers ?? [];
  const has = (name: string) => given.some((header) => header.name.toLowerCase() === name);
  let head = `GET ${check.path === undefined || check.path === "" ? "/" : check.path} HTTP/1.1\r\n`;
  if (!has("host")) head += `Host: ${bracketed(address)}:${check.port}\r\n`;
  if (!has("user-agent")) head += "User-Agent: kube-probe/1.33 (elasti)\r\n";
  if (!has("accept")) head += "Accept: */*\r\n";
  for (const { name, value } of given) if (name.toLowerCase() !== "connection") head += `${name}: ${value}\r\n`;
  return `${head}Connection: close\r\n\r\n`;
}

/** The final status at the start of `text`, "partial" while it is not all there, or undefined for what is not HTTP. */
export function finalStatus(text: string): number | "partial" | undefined {
  let rest = text;
  for (;;) {
    const line = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(rest);
    if (line === null)
      return /^[^\n]{0,64}$/.test(rest) && "HTTP/1.".startsWith(rest.slice(0, 7)) ? "partial" : undefined;
    const status = Number(line[1]);
    if (status >= 200) return status;
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) return "partial";
    rest = rest.slice(end + 4);
  }
}

function checkHttp(socket: Socket, address: string, check: ProbeTarget, done: (ok: boolean) => void): void {
  // as the kubelet: the certificate is not looked at
  const stream = check.scheme === "HTTPS" ? connectTls({ socket, rejectUnauthorized: false }) : socket;
  let text = "";
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    const status = finalStatus(text);
    // a redirect is an answer, and is not followed: so the kubelet takes it, too
    if (status !== "partial" || text.length > maxHeadBytes) done(typeof status === "number" && status < 400);
  });
  stream.on("error", () => {});
  stream.write(probeRequest(address, check), "latin1");
}

export interface CheckOptions {
  readonly address: string;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** A bare connect. */
export async function tryConnect(port: number, options: CheckOptions): Promise<Attempt> {
  try {
    const socket = await dial({ ...options, port, timeoutMs: options.connectTimeoutMs });
    socket.on("error", () => {});
    socket.destroy();
    return "passed";
  } catch {
    return "refused";
  }
}

/** One attempt of one check: a connect, and on the same connection what the check asks. */
export async function tryCheck(check: ProbeTarget, options: CheckOptions): Promise<Attempt> {
  if (check.type === "tcp") return tryConnect(check.port, options);
  const { address, clock, signal } = options;
  let socket: Socket;
  try {
    socket = await dial({ address, port: check.port, clock, signal, timeoutMs: options.connectTimeoutMs });
  } catch {
    return "refused";
  }
  const result = Promise.withResolvers<Attempt>();
  const timer = clock.after(check.timeoutSeconds * 1_000, () => result.resolve("rejected"));
  const onAbort = () => result.resolve("refused");
  signal.addEventListener("abort", onAbort, { once: true });
  socket.on("error", () => {}).once("close", () => result.resolve("refused"));
  const done = (ok: boolean) => result.resolve(ok ? "passed" : "rejected");
  try {
    if (signal.aborted) onAbort();
    else if (check.type === "grpc") checkGrpc(socket, check.service ?? "", `${bracketed(address)}:${check.port}`, done);
    else checkHttp(socket, address, check, done);
    return await result.promise;
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", onAbort);
    socket.destroy();
  }
}
