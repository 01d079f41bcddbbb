/** A pod as the slices show it for the first time; `at` is wall clock in ms. */
export interface Published {
  readonly pod: string;
  readonly address: string;
  readonly port: number;
  readonly at: number;
}

/** What is known of a wake from the API; wall clock in ms. */
export interface WakeMoments {
  /** When the scale from zero was accepted or, where that is known, when it came in. */
  readonly scaledAt: number;
  /** When the address of the pod was published. */
  readonly publishedAt: number;
}

/** Knows what the API server did, and when. */
export interface Moments {
  /** @throws when the wake of the app, or its pod, was not seen */
  ofWake(app: string, pod: string, from: number): Promise<WakeMoments>;
  /** Calls back with every pod of an app that is new from now on; returns what ends it. */
  onPublished(app: string, listener: (published: Published) => void): () => void;
}
