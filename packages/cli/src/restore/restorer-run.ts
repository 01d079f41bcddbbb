import { type ElastiService, FINALIZER, keyOf, PORT_TABLE_LABEL } from "@elasti/api";
import { type Clock, errorText, Metrics, silentLogger } from "@elasti/core";
import { isConflict, isNotFound, type KubeClient, type KubeObject, Reflector, resources } from "@elasti/kube";
import { createRestorer, type RestorerOptions } from "@elasti/operator";
import type { Access } from "../cluster-access.ts";
import { listKnown } from "../listing.ts";
import { type Leftover, leftoversOf, type Snapshot, unclaimed } from "./leftovers.ts";
import type { Progress } from "./progress.ts";
import { readSnapshot } from "./read-snapshot.ts";

/** What is left is counted again after so long, where no event tells: what belongs to no ElastiService. */
const lookAgainMs = 1_000;

export interface RunOptions extends RestorerOptions {
  readonly access: Access;
  readonly clock: Clock;
  readonly progress: Progress;
  /** The cluster before. */
  readonly snapshot: Snapshot;
  /** Whatever is left then is left, in ms. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** Lets the restorer work until nothing is left, or until the deadline. @returns what is left, and the cluster as it is then */
export async function runRestorer(options: RunOptions): Promise<{ left: Leftover[]; snapshot: Snapshot }> {
  const { access, clock, progress, snapshot, namespaces, signal } = options;
  const { client } = access;
  const before = leftoversOf(snapshot);
  for (const es of unclaimed(snapshot, before)) await claim(client, es);
  const wanted = new Set(before.map(({ namespace, elastiService = "" }) => keyOf(namespace, elastiService)));
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(options.deadlineMs)]);
  const restorer = createRestorer(options, {
    client: access.open(),
    clock,
    logger: progress.logger,
    metrics: new Metrics({ clock }),
  });
  const watches = (namespaces.length === 0 ? [undefined] : namespaces).map(
    (namespace) =>
      new Reflector<ElastiService & KubeObject>({
        client,
        clock,
        namespace,
        resource: resources.elastiServices,
        logger: silentLogger,
      }),
  );
  try {
    // a start may wait for ever, for lists that may not be read
    const started = restorer.start?.();
    await Promise.race([started, ended(deadline)]);
    if (snapshot.elastiServices.length > 0)
      await Promise.all(watches.map((watch) => released(watch, wanted, deadline)));
    for (;;) {
      const now = await readSnapshot(client, namespaces);
      const left = leftoversOf(now);
      if (left.every(isNotForUs) || deadline.aborted) return { left, snapshot: now };
      await clock.sleep(lookAgainMs, deadline).catch(() => {});
    }
  } finally {
    await Promise.all(watches.map((watch) => watch.close()));
    await restorer.close();
  }
}

/** One that could not be woken stands in nobody's way; bounds of policies come after. */
const isNotForUs = ({ kind }: Leftover): boolean => kind === "target" || kind === "bounds";

/** Resolves when none of those that are wanted (`namespace/name`) has our finalizer any more. */
async function released(
  watch: Reflector<ElastiService & KubeObject>,
  wanted: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await Promise.race([watch.start(), ended(signal)]);
    await watch.store.until(
      (store) => ![...wanted].some((key) => store.getByKey(key)?.metadata.finalizers?.includes(FINALIZER)) || undefined,
      signal,
    );
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function ended(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

/** The steps of a deletion begin with our finalizer. */
async function claim(client: KubeClient, { metadata }: ElastiService): Promise<void> {
  const { namespace, name, resourceVersion, finalizers = [] } = metadata;
  const body = { metadata: { resourceVersion, finalizers: [...finalizers, FINALIZER] } };
  try {
    await client.patch(resources.elastiServices, namespace, name, "merge", body);
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}

/** Deletes what an operator would make anew: its Lease and its port table. @returns what was deleted, and what could not be */
export async function purge(client: KubeClient, namespace: string, leaseName: string): Promise<string[]> {
  const tables = (await listKnown<KubeObject>(client, resources.configMaps, [namespace], true)).filter(
    ({ metadata }) => metadata.labels?.[PORT_TABLE_LABEL] !== undefined,
  );
  const gone: string[] = [];
  for (const { resource, name } of [
    ...tables.map(({ metadata }) => ({ resource: resources.configMaps, name: metadata.name })),
    { resource: resources.leases, name: leaseName },
  ]) {
    try {
      await client.delete(resource, namespace, name);
      gone.push(`${resource.kind} ${namespace}/${name}: deleted`);
    } catch (error) {
      // nothing depends on them
      if (!isNotFound(error)) gone.push(`${resource.kind} ${namespace}/${name}: not deleted: ${errorText(error)}`);
    }
  }
  return gone;
}
