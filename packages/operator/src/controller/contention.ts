import { type ElastiServiceStatus, wantedRoutingMode } from "@elasti/api";
import { type Clock, errorText, type Logger } from "@elasti/core";
import { type KubeClient, type KubeObject, type Resource, resources, type Service } from "@elasti/kube";
import type { StoredElastiService } from "../lifecycle/cluster-view.ts";
import { contestOf } from "../lifecycle/contest.ts";
import type { Events, TargetState } from "../lifecycle/contracts.ts";
import { managerOf } from "../lifecycle/field-managers.ts";
import type { ServiceMemory } from "../lifecycle/memory.ts";
import { parkBar, withRevert } from "../lifecycle/park-reverts.ts";
import { isParked } from "../lifecycle/routing.ts";
import type { StatusChange } from "../lifecycle/status-writer.ts";
import { type ContestedField, ignoreRule, rolloutNote } from "./ignore-rules.ts";
import type { Warning } from "./parts.ts";

/** Who else writes what Elasti writes: takes note of it, finds out who it was, and says what to do about it. */
export class Contention {
  readonly #client: KubeClient;
  readonly #events: Events;
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(deps: { client: KubeClient; events: Events; clock: Clock; logger: Logger }) {
    this.#client = deps.client;
    this.#events = deps.events;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
  }

  /**
   * What status has to say because somebody took our park off; undefined when nobody did. One that comes in Sealed is noted
   * when that sleep has been undone: until then it must not change the mode in force.
   */
  noteRevert(es: StoredElastiService, service: Service | undefined, memory: ServiceMemory): StatusChange | undefined {
    if (service === undefined || isParked(service) || es.metadata.deletionTimestamp !== undefined) return undefined;
    if (memory.parkedUid === undefined || memory.parkedUid !== service.metadata.uid) return undefined;
    const { status = {} } = es;
    if (status.phase === "Sealed") return undefined;
    memory.parkedUid = undefined;
    const message = "the key that Elasti adds to the Service's selector was taken off";
    this.#events.record(es, "Warning", "SelectorReverted", message);
    const { generation } = es.metadata;
    return {
      parkReverts: withRevert(status.parkReverts, {
        time: new Date(this.#clock.now()).toISOString(),
        drainEpoch: status.drainEpoch ?? 0,
        ...(generation === undefined ? {} : { generation }),
        ...(service.metadata.uid === undefined ? {} : { service: service.metadata.uid }),
      }),
    };
  }

  /** Names those who are not named yet, in one read each: it is rare, and the watches keep no managedFields. */
  async named(es: StoredElastiService, service: Service | undefined, target: TargetState): Promise<StatusChange> {
    const change: { -readonly [K in keyof ElastiServiceStatus]?: ElastiServiceStatus[K] } = {};
    const nowMs = this.#clock.now();
    const contest = contestOf(es, nowMs);
    if (contest?.raise.manager === undefined && contest !== undefined && target.kind === "found") {
      const { resource, namespace, name } = target.ref;
      const manager = await this.#managerOf(resource, namespace, name, "replicas");
      const message = `${who(manager, "")} raised ${resource.kind} ${name} from zero twice within ten minutes`;
      this.#events.record(es, "Warning", "Contested", message);
      change.raises = es.status?.raises?.map((one) => (one === contest.raise ? { ...one, manager } : one)) ?? [];
    }
    const bar = parkBar(es, service?.metadata.uid, nowMs);
    if (bar !== undefined && bar.revert.manager === undefined && service !== undefined) {
      const { namespace = "", name } = service.metadata;
      const manager = await this.#managerOf(resources.services, namespace, name, "selector");
      change.parkReverts = es.status?.parkReverts?.map((one) => (one === bar.revert ? { ...one, manager } : one)) ?? [];
    }
    return change;
  }

  warnings(es: StoredElastiService, service: Service | undefined, target: TargetState): Warning[] {
    const nowMs = this.#clock.now();
    const warnings: Warning[] = [];
    const contest = contestOf(es, nowMs);
    if (contest !== undefined && target.kind === "found") {
      const { resource, name } = target.ref;
      warnings.push({
        type: "Contested",
        reason: "Contested",
        message: `${who(contest.raise.manager, "through /scale, as kubectl scale does")} raised ${resource.kind} ${name} from zero twice within ten minutes, so it stays awake until ${timeText(contest.untilMs)} or until the ElastiService is changed; ${ignoreRule(contest.raise.manager, { resource, name, field: "replicas" })}`,
      });
    }
    const bar = parkBar(es, service?.metadata.uid, nowMs);
    if (bar !== undefined && service !== undefined) {
      const { name } = service.metadata;
      const contested: ContestedField = { resource: resources.services, name, field: "selector" };
      const until = bar.untilMs === undefined ? "" : ` until ${timeText(bar.untilMs)}`;
      warnings.push({
        type: "SelectorReverted",
        reason: "SelectorReverted",
        message: `${who(bar.revert.manager, "")} took off the key that Elasti adds to the selector of Service ${name}, so it goes on in mode EndpointSlice${until}; ${ignoreRule(bar.revert.manager, contested)}`,
      });
    }
    if (namesService(es, target) && wantedRoutingMode(es.spec) !== "EndpointSlice") {
      const message = rolloutNote(es.spec.service, wantedRoutingMode(es.spec) === "Always");
      warnings.push({ type: "RolloutService", reason: "RolloutService", message });
    }
    return warnings;
  }

  /** When time alone changes what is said here, in ms from now. */
  changesInMs(es: StoredElastiService, service: Service | undefined): number | undefined {
    const nowMs = this.#clock.now();
    const ends = [contestOf(es, nowMs)?.untilMs, parkBar(es, service?.metadata.uid, nowMs)?.untilMs];
    const soonest = Math.min(...ends.filter((ms): ms is number => ms !== undefined));
    return Number.isFinite(soonest) ? soonest - nowMs : undefined;
  }

  async #managerOf(
    resource: Resource,
    namespace: string,
    name: string,
    field: "replicas" | "selector",
  ): Promise<string> {
    try {
      return managerOf(await this.#client.get<KubeObject>(resource, namespace, name), field) ?? "";
    } catch (error) {
      this.#logger.warn({ namespace, service: name, field, error: errorText(error) }, "field manager not known");
      return "";
    }
  }
}

/** The target is a Rollout of Argo that names this Service. */
export const namesService = ({ spec }: StoredElastiService, target: TargetState): boolean =>
  target.kind === "found" && target.rolloutServices?.includes(spec.service) === true;

/** An empty name: the API server recorded nobody. */
const who = (manager: string | undefined, how: string): string =>
  manager === undefined || manager === ""
    ? `somebody${how === "" ? "" : ` (${how})`}`
    : `field manager ${manager.slice(0, 128)}`;

const timeText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
