import { errorText } from "@elasti/core";
import type { KubeClient } from "@elasti/kube";
import { Connection, type Reply, wallMs } from "./connection.ts";
import type { Moments, Published } from "./moments.ts";
import { setReplicas, type Target } from "./wake-targets.ts";

/** One cold start as the held client saw it; all in ms. */
export interface WakeSample {
  readonly pod: string;
  /** Wall clock. */
  readonly from: number;
  readonly listeningAt: number;
  readonly publishedAt: number;
  readonly scaledAt: number;
  readonly headAt: number;
  /** What the resolver says of the phases. */
  readonly serverTiming: string;
  readonly totalMs: number;
  readonly overheadMs: number;
  readonly notifyToScaleMs: number;
}

const GIVE_UP_MS = 30_000;

/** @throws what is wrong with a reply */
function mustBeFine(reply: Reply, pod: string | undefined): void {
  if (reply.status !== 200)
    throw new Error(`HTTP ${reply.status} ${reply.headers.get("elasti-reason") ?? ""}: ${reply.body}`);
  if (reply.body !== `hello from ${pod}\n`) throw new Error(`a wrong body: ${JSON.stringify(reply.body)}`);
}

/** An answer to the first request of a service that slept; wall clock in ms. */
export interface FirstAnswer {
  readonly from: number;
  readonly headAt: number;
  readonly pod: string;
  readonly headers: ReadonlyMap<string, string>;
}

/**
 * Sends one request to a sleeping service through its Service address, and waits for it.
 * @throws when the request is lost
 */
export async function firstAnswer(target: Target, localAddress?: string): Promise<FirstAnswer> {
  const { address: host, port } = target.app;
  const from = wallMs();
  const local = localAddress === undefined ? {} : { localAddress };
  const connection = await Connection.open({ host, port, timeoutMs: GIVE_UP_MS, ...local });
  try {
    const reply = await connection.request({ method: "GET", path: "/" });
    const pod = reply.headers.get("x-pod") ?? "";
    mustBeFine(reply, pod);
    return { from, pod, headAt: reply.headAt, headers: reply.headers };
  } finally {
    connection.close();
  }
}

/**
 * One cold start. The moment of the request's arrival at the resolver is taken to be the moment at which the client began to
 * connect, which is a little earlier.
 * @throws when the request is lost
 */
export async function wakeOnce(target: Target, moments: Moments, localAddress?: string): Promise<WakeSample> {
  const { from, pod, headAt, headers } = await firstAnswer(target, localAddress);
  // the app tells whole ms: the fraction that it leaves out counts as ours
  const listeningAt = Number(headers.get("x-listening-at"));
  const serverTiming = headers.get("server-timing") ?? "";
  const { scaledAt, publishedAt } = await moments.ofWake(target.app.name, pod, from);
  return {
    ...{ pod, from, listeningAt, publishedAt, scaledAt, headAt, serverTiming },
    totalMs: headAt - from,
    overheadMs: headAt - Math.max(listeningAt, publishedAt),
    notifyToScaleMs: scaledAt - from,
  };
}

/**
 * The same start without Elasti in the way, as fast as a client could have it that knew everything: the target is scaled by
 * hand, the address is taken from the slice, and connecting is tried every millisecond, or as `everyMs` says.
 * @returns ms from the PATCH to the head of the answer
 */
export async function controlOnce(target: Target, moments: Moments, client: KubeClient, everyMs = 1): Promise<number> {
  const found = Promise.withResolvers<Published>();
  const stop = moments.onPublished(target.app.name, found.resolve);
  const from = wallMs();
  try {
    await setReplicas(client, target.app.name, 1);
    const { address, port, pod } = await found.promise;
    const connection = await firstConnection(address, port, from + GIVE_UP_MS, everyMs);
    const reply = await connection.request({ method: "GET", path: "/" });
    connection.close();
    mustBeFine(reply, pod);
    return reply.headAt - from;
  } finally {
    stop();
  }
}

function firstConnection(host: string, port: number, until: number, everyMs: number): Promise<Connection> {
  return new Promise((resolve, reject) => {
    let won = false;
    const timer = setInterval(() => {
      if (wallMs() > until) {
        clearInterval(timer);
        reject(new Error(`nothing listened on ${host}:${port} in time`));
        return;
      }
      Connection.open({ host, port }).then(
        (connection) => {
          if (won) return connection.close();
          won = true;
          clearInterval(timer);
          resolve(connection);
        },
        (error: unknown) => {
          if (!errorText(error).includes("ECONNREFUSED")) reject(error);
        },
      );
    }, everyMs);
  });
}
