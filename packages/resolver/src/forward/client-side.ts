import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/**
 * Ends a connection so that the client cannot take what it has for a whole answer: an answer that ends with the connection
 * would look complete after a FIN.
 */
export function reset(socket: Duplex | null): void {
  if (socket === null || socket.destroyed) return;
  // while an end is on its way out, the kernel is not to be asked for a reset (libuv answers EINVAL and keeps the handle)
  const ending = socket.writableEnded && !socket.writableFinished;
  if (!ending && "resetAndDestroy" in socket && typeof socket.resetAndDestroy === "function") socket.resetAndDestroy();
  else socket.destroy();
}

/** Whether nobody is there to take the answer. */
export function clientLeft(request: IncomingMessage, response: ServerResponse): boolean {
  return response.destroyed || response.closed || request.socket.destroyed;
}
