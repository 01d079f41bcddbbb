export interface RestartSettings {
  /** Delay before the second restart; it doubles from there. */
  initialMs: number;
  maxMs: number;
}

export const defaultRestartSettings: RestartSettings = { initialMs: 10_000, maxMs: 300_000 };

/** The kubelet's delays: none before the first restart, then doubling; forgotten once a container ran for twice the maximum. */
export class RestartBackoff {
  readonly #settings: RestartSettings;
  #restarts = 0;

  constructor(settings: RestartSettings) {
    this.#settings = settings;
  }

  /** Delay in ms before the restart after a run of `ranMs`. */
  next(ranMs: number): number {
    if (ranMs >= 2 * this.#settings.maxMs) this.#restarts = 0;
    const delay = this.#restarts === 0 ? 0 : this.#settings.initialMs * 2 ** Math.min(this.#restarts - 1, 30);
    this.#restarts += 1;
    return Math.min(delay, this.#settings.maxMs);
  }
}
