import { keyOf } from "@elasti/api";
import type { SilentReport, TrafficReport } from "./contracts.ts";
import type { ManagedService } from "./service.ts";
import type { ServiceEvents } from "./service-state.ts";

/** Collects from all services what the session has to tell: changed numbers, what is urgent, silent connections. */
export class TrafficLog {
  readonly #changed = new Map<string, { namespace: string; service: string }>();
  readonly #silent = new Map<string, { namespace: string; service: string }>();
  readonly #urgentListeners = new Set<(report: TrafficReport) => void>();
  readonly #silentListeners = new Set<() => void>();
  /** Finds a service; set once, by whoever owns both. */
  serviceOf: (namespace: string, service: string) => ManagedService | undefined = () => undefined;
  /** Some service has nothing in flight and nothing held. */
  onIdle: () => void = () => {};

  eventsOf(namespace: string, service: string): ServiceEvents {
    const key = keyOf(namespace, service);
    const name = { namespace, service };
    return {
      changed: () => this.#changed.set(key, name),
      urgent: () => {
        const managed = this.serviceOf(namespace, service);
        if (managed === undefined) return;
        const report = reportOf(managed);
        for (const listener of this.#urgentListeners) listener(report);
      },
      idle: () => this.onIdle(),
      silent: () => {
        if (this.#silent.has(key)) return;
        this.#silent.set(key, name);
        for (const listener of this.#silentListeners) listener();
      },
    };
  }

  /** Every service that has seen a request, or holds one. */
  all(services: Iterable<ManagedService>): TrafficReport[] {
    const reports: TrafficReport[] = [];
    for (const service of services) {
      const report = { namespace: service.namespace, service: service.name, ...service.state.peek() };
      if (report.requests > 0 || report.inFlight > 0 || report.held > 0) reports.push(report);
    }
    return reports;
  }

  takeChanged(): TrafficReport[] {
    const reports: TrafficReport[] = [];
    for (const { namespace, service } of this.#changed.values()) {
      const managed = this.serviceOf(namespace, service);
      if (managed !== undefined) reports.push(reportOf(managed));
    }
    this.#changed.clear();
    return reports;
  }

  takeSilent(): SilentReport[] {
    const reports: SilentReport[] = [];
    for (const { namespace, service } of this.#silent.values()) {
      const peers = this.serviceOf(namespace, service)?.state.takeSilent() ?? [];
      if (peers.length > 0) reports.push({ namespace, service, peers });
    }
    this.#silent.clear();
    return reports;
  }

  onUrgent(listener: (report: TrafficReport) => void): () => void {
    this.#urgentListeners.add(listener);
    return () => this.#urgentListeners.delete(listener);
  }

  onSilent(listener: () => void): () => void {
    this.#silentListeners.add(listener);
    return () => this.#silentListeners.delete(listener);
  }
}

function reportOf(service: ManagedService): TrafficReport {
  return { namespace: service.namespace, service: service.name, ...service.state.snapshot() };
}
