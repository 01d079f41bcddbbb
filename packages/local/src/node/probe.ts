import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { errorText } from "@elasti/core";
import type { Container, Probe } from "@elasti/kube";

export interface ProbeTarget {
  podIP: string;
  /** The kubelet's own address, from which probes come. */
  nodeAddress: string;
  container: Container;
  /** Runs a command as the container would; true when it exits with 0. */
  exec(command: readonly string[], signal: AbortSignal): Promise<boolean>;
}

export type ProbeResult = { ok: true } | { ok: false; message: string };

/** One attempt of a probe, with its timeout. Never rejects: whatever goes wrong is a failure with a message. */
export async function attemptProbe(probe: Probe, target: ProbeTarget, closing: AbortSignal): Promise<ProbeResult> {
  const signal = AbortSignal.any([closing, AbortSignal.timeout((probe.timeoutSeconds ?? 1) * 1000)]);
  try {
    if (probe.httpGet !== undefined) return await httpGet(probe.httpGet, target, signal);
    if (probe.tcpSocket !== undefined) return await tcpConnect(probe.tcpSocket, target, signal);
    if (probe.exec !== undefined) {
      return (await target.exec(probe.exec.command, signal)) ? { ok: true } : failed("the command failed");
    }
    return failed("the local node knows httpGet, tcpSocket and exec probes only");
  } catch (error) {
    return failed(errorText(error));
  }
}

function failed(message: string): ProbeResult {
  return { ok: false, message };
}

/** A probe's port: a number, or the name of a container port. Undefined when no port has that name. */
export function probePort(port: number | string, container: Container): number | undefined {
  if (typeof port === "number") return port;
  return (
    container.ports?.find(({ name }) => name === port)?.containerPort ?? (/^\d+$/.test(port) ? Number(port) : undefined)
  );
}

function httpGet(get: NonNullable<Probe["httpGet"]>, target: ProbeTarget, signal: AbortSignal): Promise<ProbeResult> {
  const port = probePort(get.port, target.container);
  if (port === undefined) return Promise.resolve(failed(`no container port is named "${get.port}"`));
  const headers: Record<string, string> = { "User-Agent": "kube-probe/1.36", Accept: "*/*", Connection: "close" };
  for (const { name, value } of get.httpHeaders ?? []) {
    for (const known of Object.keys(headers)) if (known.toLowerCase() === name.toLowerCase()) delete headers[known];
    headers[name] = value;
  }
  const secure = get.scheme === "HTTPS";
  return new Promise((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)({
      host: get.host ?? target.podIP,
      port,
      path: get.path ?? "/",
      headers,
      agent: false,
      localAddress: target.nodeAddress,
      signal,
      // as the kubelet: a probe does not judge certificates
      ...(secure ? { rejectUnauthorized: false } : {}),
    });
    request.on("error", reject);
    request.once("response", (response) => {
      const status = response.statusCode ?? 0;
      resolve(status >= 200 && status < 400 ? { ok: true } : failed(`HTTP probe failed with statuscode: ${status}`));
      // the rest of the answer is of no interest, and must not keep the connection
      response.on("error", () => {});
      response.destroy();
    });
    request.end();
  });
}

function tcpConnect(
  tcp: NonNullable<Probe["tcpSocket"]>,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const port = probePort(tcp.port, target.container);
  if (port === undefined) return Promise.resolve(failed(`no container port is named "${tcp.port}"`));
  return new Promise((resolve, reject) => {
    const socket = connect({ host: tcp.host ?? target.podIP, port, localAddress: target.nodeAddress, signal });
    socket.on("error", reject);
    socket.once("connect", () => {
      socket.destroy();
      resolve({ ok: true });
    });
  });
}
