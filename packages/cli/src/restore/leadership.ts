import { type Clock, defineErrors } from "@elasti/core";
import {
  isConflict,
  isNotFound,
  type KubeClient,
  type Lease,
  type Resource,
  resources,
  ScaleClient,
} from "@elasti/kube";

export const leadershipErrors = defineErrors({
  ELASTI_OPERATOR_RUNS: { status: 409, retryable: false, title: "An operator runs" },
});

export interface LeadershipOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** Of the Lease. */
  readonly namespace: string;
  readonly name: string;
  readonly say: (line: string) => void;
}

const lookAgainMs = 1_000;
const defaultDurationMs = 15_000;

/**
 * Waits until nobody leads: the Lease is free, or was not renewed for as long as it lasts. Clocks are never compared: what counts is
 * whether it changes while we look.
 * @param atMostMs longest time for which a holder that renews is waited for
 * @throws ELASTI_OPERATOR_RUNS
 */
export async function waitUntilFree(options: LeadershipOptions, atMostMs = 0): Promise<void> {
  const { client, clock, namespace, name, say } = options;
  const beganAt = clock.monotonic();
  let seen: { spec: string; atMs: number } | undefined;
  for (;;) {
    const lease = await readLease(client, namespace, name);
    const holder = lease?.spec?.holderIdentity ?? "";
    if (lease === undefined || holder === "") return;
    const spec = JSON.stringify(lease.spec);
    const now = clock.monotonic();
    if (seen !== undefined && seen.spec !== spec && now - beganAt >= atMostMs)
      throw leadershipErrors.ELASTI_OPERATOR_RUNS(
        `the operator ${holder} runs and renews the Lease ${namespace}/${name}: it would park again what is put back. Stop it first (--stop-operator), or see --force`,
      );
    if (seen === undefined) say(`the Lease ${namespace}/${name} is held by ${holder}: looking whether it is renewed`);
    if (seen?.spec !== spec) seen = { spec, atMs: now };
    const durationMs = (lease.spec.leaseDurationSeconds ?? 0) * 1_000 || defaultDurationMs;
    if (now - seen.atMs >= durationMs) return;
    await clock.sleep(lookAgainMs);
  }
}

/**
 * Takes the Lease from whoever holds it, and waits until they cannot believe any more that they lead. It is ours for twice as long.
 */
export async function takeLease(options: LeadershipOptions, identity: string): Promise<void> {
  const { client, clock, namespace, name, say } = options;
  for (;;) {
    const lease = await readLease(client, namespace, name);
    const holder = lease?.spec?.holderIdentity ?? "";
    if (lease === undefined || holder === "") return;
    const durationMs = (lease.spec.leaseDurationSeconds ?? 0) * 1_000 || defaultDurationMs;
    const now = new Date(clock.now()).toISOString().replace("Z", "000Z");
    const spec = {
      ...lease.spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil((durationMs * 2) / 1_000),
      acquireTime: now,
      renewTime: now,
      leaseTransitions: (lease.spec.leaseTransitions ?? 0) + 1,
    };
    try {
      await client.replace(resources.leases, { ...lease, spec });
    } catch (error) {
      // it was renewed meanwhile
      if (isConflict(error)) continue;
      throw error;
    }
    say(`took the Lease ${namespace}/${name} from ${holder}; giving it ${durationMs / 1_000} s to notice`);
    await clock.sleep(durationMs);
    return;
  }
}

/** A Deployment that was scaled to zero, and the way back. */
export interface Stopped {
  readonly replicas: number;
  restart(): Promise<void>;
}

/** Scales the operator's Deployment to zero. @returns undefined where there is none */
export async function stopDeployment(
  client: KubeClient,
  namespace: string,
  name: string,
): Promise<Stopped | undefined> {
  const scales = new ScaleClient(client);
  const resource: Resource = resources.deployments;
  const set = async (replicas: number): Promise<number> => {
    for (;;) {
      const before = await scales.getScale({ resource, namespace, name });
      if (before.replicas === replicas) return before.replicas;
      try {
        await scales.setScale({ resource, namespace, name, replicas, resourceVersion: before.resourceVersion });
        return before.replicas;
      } catch (error) {
        // its controller writes status all the time
        if (!isConflict(error)) throw error;
      }
    }
  };
  try {
    const replicas = await set(0);
    return { replicas, restart: async () => void (await set(replicas)) };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function readLease(client: KubeClient, namespace: string, name: string): Promise<Lease | undefined> {
  try {
    return await client.get<Lease>(resources.leases, namespace, name);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
