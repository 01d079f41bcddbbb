import { connect, type Socket } from "node:net";
import type { Clock } from "@elasti/core";

/** A connect that took too long; `code` as the kernel would say it. */
class DialTimeout extends Error {
  readonly code = "ETIMEDOUT";
}

export interface DialOptions {
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  readonly localAddress?: string | undefined;
  /** Whether the end of the other side leaves ours open. */
  readonly allowHalfOpen?: boolean;
}

/** As undici's own connector sets it; the types of node:net do not know it. */
const reading = { highWaterMark: 64 * 1024 };

/** A connected TCP socket, paused and without listeners. Rejects with the error of the connect, or the signal's reason. */
export function dial(options: DialOptions): Promise<Socket> {
  const { address, port, timeoutMs, clock, signal, localAddress, allowHalfOpen = false } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const socket = connect({
      ...reading,
      host: address,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      allowHalfOpen,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    const timer = clock.after(timeoutMs, () => {
      socket.destroy(new DialTimeout(`connect to ${address}:${port} took more than ${timeoutMs} ms`));
    });
    const onAbort = () => socket.destroy(signal!.reason);
    const end = () => {
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
      socket.off("connect", onConnect).off("error", onError);
    };
    const onConnect = () => {
      end();
      resolve(socket);
    };
    const onError = (error: Error) => {
      end();
      // a destroyed socket may say one thing more
      socket.on("error", () => {});
      reject(error);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", onConnect).once("error", onError);
  });
}
