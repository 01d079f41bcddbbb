import { type ElastiService, keyOf, SERVICE_NAME_LABEL, specDefaults } from "@elasti/api";
import { errorText, systemClock } from "@elasti/core";
import { type KubeClient, type Lease, resources } from "@elasti/kube";
import { type Access, connect } from "../cluster-access.ts";
import { listKnown } from "../listing.ts";
import type { Place } from "../place.ts";
import { type Stopped, stopDeployment, takeLease, waitUntilFree } from "./leadership.ts";
import { type Leftover, leftoversOf, type Snapshot } from "./leftovers.ts";
import { graceMarginMs, parseRestore, type RestoreOptions, restoreUsage } from "./options.ts";
import { Progress } from "./progress.ts";
import { putBackBounds } from "./put-back-bounds.ts";
import { readSnapshot } from "./read-snapshot.ts";
import { purge, runRestorer } from "./restorer-run.ts";
import { type RestoreResult, resultOf, textOf } from "./result.ts";

/** Longest that an operator which was told to stop may go on renewing its Lease. */
const stopTimeoutMs = 90_000;
/** Longest that pods which were ready may not be, at the end. */
const settleMs = 30_000;
const lookAgainMs = 1_000;
/** Longest pause between two attempts at one service. */
const retryMs = 75_000;

/** `elasti restore`. @returns the exit code */
export async function restore(args: readonly string[], place: Place): Promise<number> {
  const parsed = parseRestore(args, place.env);
  if (parsed.kind === "help") {
    place.write(restoreUsage);
    return 0;
  }
  if (parsed.kind === "wrong") {
    place.writeError(`elasti: ${parsed.message}; elasti restore --help lists the arguments\n`);
    return 2;
  }
  const { options } = parsed;
  let access: Access | undefined;
  try {
    access = await connect(options, place.env);
    const result = await run(options, access, place);
    place.write(options.json ? `${JSON.stringify(result)}\n` : textOf(result));
    return result.exitCode === 1 && options.acceptNotReady ? 0 : result.exitCode;
  } catch (error) {
    place.writeError(`elasti: ${errorText(error)}\n`);
    return 2;
  } finally {
    await access?.client.close();
  }
}

async function run(options: RestoreOptions, access: Access, place: Place): Promise<RestoreResult> {
  const { client } = access;
  const say = (line: string): void => place.writeError(`${line}\n`);
  const progress = new Progress(say);
  let unwritten: ReadonlyMap<string, string> = new Map();
  const failureOf = ({ object, namespace, elastiService }: Leftover): string | undefined =>
    elastiService === undefined ? unwritten.get(object) : progress.failureOf(keyOf(namespace, elastiService));
  const outcome = { notReady: [], notes: [], failureOf };
  if (options.dryRun) {
    const before = leftoversOf(await readSnapshot(client, options.namespaces));
    return resultOf({ ...outcome, before, after: undefined });
  }
  const system = await systemOf(options, access);
  const identity = `elasti-restore_${crypto.randomUUID().slice(0, 8)}`;
  const stopped = await becomeAlone(options, client, system.namespace, identity, say);
  let result: RestoreResult | undefined;
  try {
    // what was there before is read when nobody adds to it any more
    const snapshot = await readSnapshot(client, options.namespaces);
    const before = leftoversOf(snapshot);
    const notes: string[] = [];
    let after: readonly Leftover[] = [];
    let now = snapshot;
    if (before.some(({ kind }) => kind !== "bounds")) {
      const giveUpMs = options.timeoutMs + longestGraceMs(snapshot) + graceMarginMs / 4;
      const ran = await runRestorer({
        systemNamespace: system.namespace,
        namespaces: options.namespaces,
        leaseName: options.leaseName,
        resolverService: options.resolverService,
        identity,
        readyTimeoutMs: options.timeoutMs,
        giveUpMs,
        deadlineMs: giveUpMs + retryMs,
        access,
        clock: systemClock,
        progress,
        snapshot,
        signal: place.signal,
      });
      after = ran.left;
      now = ran.snapshot;
    }
    if (leftoversOf(now).some(({ kind }) => kind === "bounds")) {
      unwritten = await putBackBounds(client, now, place.signal);
      now = await readSnapshot(client, options.namespaces);
      after = leftoversOf(now);
    }
    // a pod may be ready, published, and for a moment not ready again
    const untilMs = systemClock.monotonic() + Math.min(options.timeoutMs, settleMs);
    while (notReadyOf(snapshot, now).length > 0 && systemClock.monotonic() < untilMs && !place.signal.aborted) {
      await systemClock.sleep(lookAgainMs, place.signal).catch(() => {});
      now = await readSnapshot(client, options.namespaces);
    }
    const done = resultOf({ ...outcome, before, after, notReady: notReadyOf(snapshot, now), notes });
    result = done;
    // the Lease was made by us where there was none
    if ((options.purge || !system.known) && done.exitCode < 2)
      notes.push(...(await purge(client, system.namespace, options.leaseName)));
    if (options.force) notes.push("an operator still runs: remove it now, or it takes these services up again");
    return done;
  } finally {
    if (stopped !== undefined && (result === undefined || result.exitCode === 2)) {
      say(`scaling the operator back to ${stopped.replicas}: not everything could be put back`);
      await stopped.restart();
    }
  }
}

/** Sees to it that no operator leads. @returns the Deployment that was stopped for it */
async function becomeAlone(
  options: RestoreOptions,
  client: KubeClient,
  namespace: string,
  identity: string,
  say: (line: string) => void,
): Promise<Stopped | undefined> {
  const lease = { client, clock: systemClock, namespace, name: options.leaseName, say };
  if (options.force) {
    await takeLease(lease, identity);
    return undefined;
  }
  if (options.stopOperator === undefined) {
    await waitUntilFree(lease);
    return undefined;
  }
  const stopped = await stopDeployment(client, namespace, options.stopOperator);
  if (stopped === undefined) say(`there is no Deployment ${namespace}/${options.stopOperator} to stop`);
  else say(`stopped the operator ${namespace}/${options.stopOperator} (${stopped.replicas} replicas)`);
  try {
    await waitUntilFree(lease, stopTimeoutMs);
  } catch (error) {
    await stopped?.restart();
    throw error;
  }
  return stopped;
}

/** The operator's namespace; `known` where something says that an operator has been there. */
async function systemOf(options: RestoreOptions, access: Access): Promise<{ namespace: string; known: boolean }> {
  if (options.systemNamespace !== undefined) return { namespace: options.systemNamespace, known: true };
  const { client } = access;
  const leases = await listKnown<Lease>(client, resources.leases, [], true);
  const found = leases.find(({ metadata }) => metadata.name === options.leaseName);
  if (found?.metadata.namespace !== undefined) return { namespace: found.metadata.namespace, known: true };
  return { namespace: access.cluster.namespace ?? "default", known: false };
}

const longestGraceMs = ({ elastiServices }: Snapshot): number =>
  1_000 * Math.max(0, ...elastiServices.map(({ spec }) => spec.routing?.graceSeconds ?? specDefaults.graceSeconds));

/** Targets that slept, and whose Services Kubernetes leads to no ready pod. */
function notReadyOf(before: Snapshot, after: Snapshot): RestoreResult["notReady"] {
  const ready = new Set(
    after.slices
      .filter(({ endpoints }) => (endpoints ?? []).some(({ conditions }) => conditions?.ready !== false))
      .map(({ metadata }) => keyOf(metadata.namespace ?? "", metadata.labels?.[SERVICE_NAME_LABEL] ?? "")),
  );
  const slept = ({ metadata, status }: ElastiService): boolean =>
    before.replicas.get(keyOf(metadata.namespace ?? "", metadata.name)) === 0 || status?.phase === "Waking";
  const there = new Set(after.services.map(({ metadata }) => keyOf(metadata.namespace ?? "", metadata.name)));
  const asleep = new Set(
    leftoversOf(before)
      .filter(({ kind }) => kind === "target" || kind === "finalizer")
      .map(({ namespace, elastiService = "" }) => keyOf(namespace, elastiService)),
  );
  return before.elastiServices.flatMap((es) => {
    const { namespace = "", name } = es.metadata;
    const service = keyOf(namespace, es.spec.service);
    if (!slept(es) || !asleep.has(keyOf(namespace, name)) || !there.has(service) || ready.has(service)) return [];
    const woken = after.replicas.get(keyOf(namespace, name));
    // one that could not be woken has a line of its own
    if (woken === undefined || woken === 0) return [];
    const waking = after.elastiServices.find(
      ({ metadata }) => metadata.name === name && metadata.namespace === namespace,
    )?.status?.waking;
    const reason = waking === undefined ? "none of its pods is ready" : `${waking.reason}: ${waking.message}`;
    return [{ elastiService: keyOf(namespace, name), reason }];
  });
}
