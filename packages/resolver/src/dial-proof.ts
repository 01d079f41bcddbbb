import { isIPv6 } from "node:net";
import type { SessionDown, SessionUp } from "@elasti/api";
import { type Clock, errorText } from "@elasti/core";
import { dial } from "./forward/dial.ts";
import { plainAddress } from "./forward/headers.ts";

export type Prove = Extract<SessionDown, { type: "prove" }>;
export type Dialled = Extract<SessionUp, { type: "dialled" }>;

const connectTimeoutMs = 2_000;

export interface DialProofOptions {
  readonly clock: Clock;
  /** The pod's own address, which the other side is to see. */
  readonly localAddress: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Opens the connections of a proof one after another to the Service address, each for as long as it says, and sends nothing.
 * What was dialled before a failure is reported with it.
 */
export async function dialProof(prove: Prove, options: DialProofOptions): Promise<Dialled> {
  const { namespace, service, proof, address, port } = prove;
  const { clock, localAddress, signal } = options;
  const dials: Dialled["dials"] = [];
  const sameFamily = localAddress !== undefined && isIPv6(localAddress) === isIPv6(address);
  let error: string | undefined;
  for (const openMs of prove.openMs) {
    try {
      const socket = await dial({
        address,
        port,
        clock,
        signal,
        timeoutMs: connectTimeoutMs,
        localAddress: sameFamily ? localAddress : undefined,
      });
      const openedAt = clock.monotonic();
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      // somebody else may answer at that address, and may hang up
      socket.on("error", () => {}).resume();
      const local = { address: plainAddress(socket.localAddress ?? ""), port: socket.localPort ?? 0 };
      try {
        await clock.sleep(openMs, signal);
      } finally {
        socket.destroy();
      }
      dials.push({ ...local, openMs: clock.monotonic() - openedAt });
      await closed;
    } catch (failure) {
      error = `${address}:${port}: ${errorText(failure)}`;
      break;
    }
  }
  return { type: "dialled", namespace, service, proof, dials, ...(error === undefined ? {} : { error }) };
}
