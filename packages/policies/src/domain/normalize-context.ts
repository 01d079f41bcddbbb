/** What a policy may refer to. */
export interface PolicyContext {
  /** Configured target types by name; `needsRef`: it says no object by itself, target_ref has to. */
  readonly targetTypes: Readonly<Record<string, { readonly needsRef: boolean }>>;
  /** Names of the catalogue of metrics. */
  readonly catalogue: readonly string[];
  /** Of metrics without a server_address. Left out: taken to be there. */
  readonly hasPrometheus?: boolean;
  /** ELASTI_SCALING_DEFAULT_COOLDOWN, in seconds. */
  readonly defaultCooldownSeconds?: number;
  newId?(): string;
}

/** A place to put what is wrong, and to ask whether a part is right so far. */
export interface Problems {
  add(field: string, message: string): void;
  /** Nothing is wrong with a field or with anything within it. */
  fine(field: string): boolean;
}
