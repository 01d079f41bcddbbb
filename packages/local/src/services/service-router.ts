import { SERVICE_NAME_LABEL } from "@elasti/api";
import { type EndpointSlice, objectKey, type Service, type Store } from "@elasti/kube";
import type { ServiceProxy } from "./service-proxy.ts";

/** Tells the proxy of every change of a Service or of a slice that belongs to it. */
export class ServiceRouter {
  readonly #services: Store<Service>;
  readonly #slices: Store<EndpointSlice>;
  readonly #proxy: ServiceProxy;
  readonly #unsubscribe: (() => void)[] = [];

  /** @param slices must be filed by `SLICES_BY_SERVICE` */
  constructor(options: { services: Store<Service>; slices: Store<EndpointSlice>; proxy: ServiceProxy }) {
    this.#services = options.services;
    this.#slices = options.slices;
    this.#proxy = options.proxy;
  }

  start(): void {
    this.#unsubscribe.push(
      this.#slices.on("change", (event) => {
        const keys = new Set(servicesOf(event.object));
        if (event.type === "modified") for (const key of servicesOf(event.old)) keys.add(key);
        for (const key of keys) this.#update(key);
      }),
      this.#services.on("change", ({ object }) => this.#update(objectKey(object)), { replay: true }),
    );
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
  }

  #update(key: string): void {
    const service = this.#services.getByKey(key);
    this.#proxy.update(key, service, this.#slices.byIndex(SLICES_BY_SERVICE, key));
  }
}

export const SLICES_BY_SERVICE = "service";

/** The Services that a slice belongs to, as `namespace/name`: one, or none. */
export function servicesOf({ metadata }: EndpointSlice): string[] {
  const name = metadata.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? [] : [`${metadata.namespace}/${name}`];
}
