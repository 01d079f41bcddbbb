import { collectionOf, type Kind } from "./kind.ts";

/** The kinds that are served now: the built-in ones and those of the CustomResourceDefinitions. */
export class KindsRegistry {
  readonly #byPath = new Map<string, Kind>();
  readonly #byCollection = new Map<string, Kind>();

  constructor(kinds: readonly Kind[]) {
    for (const kind of kinds) this.add(kind);
  }

  add(kind: Kind): void {
    const { group, version, plural } = kind.resource;
    this.#byPath.set(`${group}/${version}/${plural}`, kind);
    this.#byCollection.set(collectionOf(kind.resource), kind);
  }

  remove(kind: Kind): void {
    const { group, version, plural } = kind.resource;
    this.#byPath.delete(`${group}/${version}/${plural}`);
    this.#byCollection.delete(collectionOf(kind.resource));
  }

  find(group: string, version: string, plural: string): Kind | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  ofCollection(collection: string): Kind | undefined {
    return this.#byCollection.get(collection);
  }

  all(): Kind[] {
    return [...this.#byPath.values()];
  }

  /** Versions of a group, or undefined when nothing of it is served. */
  versionsOf(group: string): string[] | undefined {
    const versions = new Set(
      this.all().flatMap(({ resource }) => (resource.group === group ? [resource.version] : [])),
    );
    return versions.size === 0 ? undefined : [...versions];
  }
}
