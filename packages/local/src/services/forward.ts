import { connect, type Socket } from "node:net";
import { errorCode } from "@elasti/core";
import type { Backend } from "./routes.ts";

/**
 * Carries one accepted connection to a backend, byte for byte: half-closes and resets pass through, `pipe` keeps the back
 * pressure. The backend sees the client's own address and port where the client bound them explicitly (both sockets then
 * carry SO_REUSEADDR); otherwise, or when `masquerade` is set, the connection comes from `nodeAddress`.
 */
export function forward(client: Socket, backend: Backend, options: { nodeAddress: string; masquerade: boolean }): void {
  const { remoteAddress, remotePort } = client;
  // as kube-proxy does for a pod that reaches itself through its Service
  const hairpin = remoteAddress === backend.ip;
  const preserve = !options.masquerade && !hairpin && remoteAddress !== undefined && remotePort !== undefined;
  const source = preserve
    ? { localAddress: remoteAddress, localPort: remotePort }
    : { localAddress: options.nodeAddress };
  const upstream = connect({ host: backend.ip, port: backend.port, ...source, allowHalfOpen: true, noDelay: true });

  const onClientGone = () => upstream.resetAndDestroy();
  client.once("error", onClientGone);
  upstream.once("error", (error) => {
    client.off("error", onClientGone);
    if (preserve && isAddressTaken(error) && !client.destroyed) {
      return forward(client, backend, { ...options, masquerade: true });
    }
    if (client.destroyed) return;
    client.once("error", () => {});
    client.resetAndDestroy();
  });
  upstream.once("connect", () => {
    client.pipe(upstream);
    upstream.pipe(client);
    closeTogether(client, upstream);
    closeTogether(upstream, client);
  });
}

/** Ends `other` when `socket` is gone without having said so by a half-close. */
function closeTogether(socket: Socket, other: Socket): void {
  socket.once("close", () => {
    if (!socket.readableEnded && !other.destroyed) other.resetAndDestroy();
  });
}

/** The client's port belongs to a socket that was never bound explicitly, or its last connection to the same backend lingers. */
function isAddressTaken(error: unknown): boolean {
  const code = errorCode(error);
  return code === "EADDRINUSE" || code === "EADDRNOTAVAIL";
}
