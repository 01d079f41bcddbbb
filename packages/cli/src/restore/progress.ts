import { createLogger, type Logger } from "@elasti/core";

interface Line {
  readonly level?: string;
  readonly msg?: string;
  readonly key?: string;
  readonly namespace?: string;
  readonly service?: string;
  readonly phase?: string;
  readonly target?: string;
  readonly from?: number;
  readonly to?: number;
  readonly error?: string;
}

/** What the operator at work has to say, as lines for people, and its last word on each ElastiService that fails. */
export class Progress {
  readonly logger: Logger;
  readonly #say: (line: string) => void;
  readonly #failures = new Map<string, string>();

  constructor(say: (line: string) => void) {
    this.#say = say;
    this.logger = createLogger({ name: "elasti-restore" }, { write: (text) => this.#hear(text) });
  }

  /** Why the last attempt at an ElastiService failed. @param key `namespace/name` */
  failureOf(key: string): string | undefined {
    return this.#failures.get(key);
  }

  #hear(text: string): void {
    const line = JSON.parse(text) as Line;
    const { key, namespace, error } = line;
    if (key !== undefined && error !== undefined) {
      if (this.#failures.get(key) !== error) this.#say(`${key}: ${error}`);
      this.#failures.set(key, error);
    } else if (line.msg === "phase") {
      this.#say(`${namespace}/${line.service}: ${line.phase}`);
    } else if (line.msg === "scaled up") {
      this.#say(`${namespace}/${line.target}: scaled from ${line.from} to ${line.to}`);
    }
  }
}
