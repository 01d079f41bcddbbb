import type { PodSource, PodTarget } from "./contracts.ts";

/** A port of a Service; what tells it apart while its name changes is its resolver port. */
export interface NamedPort {
  readonly resolverPort: number;
  readonly portName: string | undefined;
}

export type PodsByPort = Pick<PodSource, "usable" | "onChange">;

/** Names of before that are kept in mind. */
const maxFormer = 16;

/**
 * The pods of a service, also for those who came by a name that its port had before: they may wait for minutes, and pods have
 * ports by the new name only.
 */
export class PortNames implements PodsByPort {
  readonly #pods: PodSource;
  #ports: readonly NamedPort[] = [];
  /** The name of now by one of before that no port has any more; without a name "". */
  readonly #nowOf = new Map<string, string>();

  constructor(pods: PodSource) {
    this.#pods = pods;
  }

  /** @returns whether a port has another name than before */
  set(ports: readonly NamedPort[]): boolean {
    const now = new Map(ports.map(({ resolverPort, portName = "" }) => [resolverPort, portName]));
    const renamed = new Map(
      this.#ports.flatMap(({ resolverPort, portName: before = "" }) => {
        const name = now.get(resolverPort);
        return name === undefined || name === before ? [] : [[before, name] as const];
      }),
    );
    this.#ports = ports;
    for (const [former, name] of this.#nowOf) this.#nowOf.set(former, renamed.get(name) ?? name);
    for (const [former, name] of renamed) this.#nowOf.set(former, name);
    // whoever comes by a name that a port has means that one
    for (const name of now.values()) this.#nowOf.delete(name);
    for (const oldest of this.#nowOf.keys()) {
      if (this.#nowOf.size <= maxFormer) break;
      this.#nowOf.delete(oldest);
    }
    return renamed.size > 0;
  }

  usable(portName: string | undefined): readonly PodTarget[] {
    const usable = this.#pods.usable(portName);
    const now = usable.length > 0 ? undefined : this.#nowOf.get(portName ?? "");
    return now === undefined ? usable : this.#pods.usable(now === "" ? undefined : now);
  }

  onChange(listener: () => void): () => void {
    return this.#pods.onChange(listener);
  }
}
