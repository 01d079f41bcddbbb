import type { Clock } from "@elasti/core";
import { isNotFound, kubeErrors } from "./errors.ts";
import type { KubeClient, Resource } from "./types.ts";

/** A kind as an ElastiService names it; `kind` may also be the plural, as in KubeElasti's `deployments`. */
export interface KindReference {
  readonly apiVersion: string;
  readonly kind: string;
}

export interface MappedKind {
  readonly resource: Resource;
  /** Whether it has a scale subresource. */
  readonly scale: boolean;
}

/** The part of metav1.APIResourceList that is read. */
interface ApiResourceList {
  readonly resources?: {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
  }[];
}

interface Discovered {
  readonly kinds: readonly MappedKind[];
  readonly at: number;
}

export interface RestMapperOptions {
  client: KubeClient;
  clock: Clock;
  /** What was not found is looked for again after so long, and not sooner. */
  missIntervalMs?: number;
}

/** Group versions remembered; users' manifests name them, so there must be a bound. */
const maxGroupVersions = 256;

/** Finds the REST resource of a kind by discovery. What was found is remembered. */
export class RestMapper {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #missIntervalMs: number;
  readonly #known = new Map<string, Discovered>();
  readonly #asking = new Map<string, Promise<Discovered>>();

  constructor(options: RestMapperOptions) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#missIntervalMs = options.missIntervalMs ?? 3_000;
  }

  /** @throws ELASTI_KUBE_NO_KIND, or what discovery failed with */
  async map(reference: KindReference): Promise<MappedKind> {
    const { apiVersion, kind } = reference;
    if (!/^[a-z0-9.-]+(\/[a-z0-9]+)?$/.test(apiVersion)) {
      throw kubeErrors.ELASTI_KUBE_NO_KIND(`apiVersion "${apiVersion}" is not of the form v1 or group/version`);
    }
    let discovered = this.#known.get(apiVersion);
    let found = discovered && findKind(discovered.kinds, kind);
    if (discovered === undefined || (found === undefined && this.#stale(discovered))) {
      discovered = await this.#ask(apiVersion);
      found = findKind(discovered.kinds, kind);
    }
    if (found !== undefined) return found;
    throw kubeErrors.ELASTI_KUBE_NO_KIND(
      discovered.kinds.length === 0
        ? `the API server does not know ${apiVersion} (kind ${kind}): is its CustomResourceDefinition installed?`
        : `${apiVersion} has no kind ${kind}`,
      { details: { apiVersion, kind } },
    );
  }

  /** As `map`, for kinds that can be scaled. @throws ELASTI_KUBE_NO_SCALE too */
  async mapScalable(reference: KindReference): Promise<Resource> {
    const { apiVersion, kind } = reference;
    let mapped = await this.map(reference);
    const discovered = this.#known.get(apiVersion);
    // a CustomResourceDefinition may have gained its scale subresource meanwhile
    if (!mapped.scale && discovered !== undefined && this.#stale(discovered)) {
      await this.#ask(apiVersion);
      mapped = await this.map(reference);
    }
    if (mapped.scale) return mapped.resource;
    throw kubeErrors.ELASTI_KUBE_NO_SCALE(`${apiVersion} ${kind} has no scale subresource, so it cannot be scaled`, {
      details: { apiVersion, kind },
    });
  }

  #stale(discovered: Discovered): boolean {
    return this.#clock.monotonic() - discovered.at >= this.#missIntervalMs;
  }

  #ask(apiVersion: string): Promise<Discovered> {
    let asking = this.#asking.get(apiVersion);
    if (asking === undefined) {
      asking = this.#discover(apiVersion).finally(() => this.#asking.delete(apiVersion));
      this.#asking.set(apiVersion, asking);
    }
    return asking;
  }

  async #discover(apiVersion: string): Promise<Discovered> {
    const slash = apiVersion.indexOf("/");
    const group = slash < 0 ? "" : apiVersion.slice(0, slash);
    const version = apiVersion.slice(slash + 1);
    let list: ApiResourceList = {};
    try {
      list = await this.#client.raw<ApiResourceList>("GET", `/${slash < 0 ? "api" : "apis"}/${apiVersion}`);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    const all = list?.resources ?? [];
    const scalable = new Set(all.filter(({ name }) => name.endsWith("/scale")).map(({ name }) => name.split("/")[0]));
    const kinds = all
      .filter(({ name }) => !name.includes("/"))
      .map(({ name, kind, namespaced }) => ({
        resource: { group, version, plural: name, kind, namespaced },
        scale: scalable.has(name),
      }));
    const discovered: Discovered = { kinds, at: this.#clock.monotonic() };
    this.#known.delete(apiVersion);
    this.#known.set(apiVersion, discovered);
    if (this.#known.size > maxGroupVersions) this.#known.delete(this.#known.keys().next().value!);
    return discovered;
  }
}

function findKind(kinds: readonly MappedKind[], kind: string): MappedKind | undefined {
  const lower = kind.toLowerCase();
  return (
    kinds.find(({ resource }) => resource.kind === kind) ??
    kinds.find(({ resource }) => resource.plural === lower || resource.kind.toLowerCase() === lower)
  );
}
