import { type Clock, errorText } from "@elasti/core";
import type { SessionHub } from "../elastiserver/session-hub.ts";
import type { StoredElastiService } from "./cluster-view.ts";
import type { Verdicts } from "./contracts.ts";
import type { Run } from "./sleep-run.ts";
import type { Subject } from "./subject.ts";

export interface RunWorkOptions {
  hub: Pick<SessionHub, "prove" | "seal">;
  verdicts: Verdicts;
  clock: Clock;
  graceMsOf: (es: StoredElastiService) => number;
  proofTimeoutMs: number;
  sealTimeoutMs: number;
  /** Something that a step waits for has come. */
  enqueue: (key: string) => void;
}

/** What takes long in a sleep: proof, grace, second look, seal. Each goes on by itself, tells the run how it ended, and enqueues. */
export class RunWork {
  readonly #options: RunWorkOptions;

  constructor(options: RunWorkOptions) {
    this.#options = options;
  }

  prove(subject: Subject, run: Run): void {
    const { hub, proofTimeoutMs } = this.#options;
    const { es, service } = subject;
    run.proof = "running";
    const port = es.status?.routes?.[0]?.port;
    const address = service?.spec.clusterIP;
    if (port === undefined || address === undefined) {
      run.proof = "failed";
      run.proofDetail = "the Service has no address or no port";
      return;
    }
    const asked = hub.prove({
      namespace: es.metadata.namespace ?? "",
      service: es.spec.service,
      address,
      port,
      resolvers: subject.listed,
      timeoutMs: proofTimeoutMs,
      signal: run.signal,
    });
    this.#then(
      subject,
      run,
      asked,
      (outcome) => {
        run.proof = outcome.ok ? "ok" : "failed";
        if (!outcome.ok) run.proofDetail = `${outcome.reason}: ${outcome.detail}`;
      },
      (text) => {
        run.proof = "failed";
        run.proofDetail = text;
      },
    );
  }

  grace(subject: Subject, run: Run): void {
    const { clock, graceMsOf } = this.#options;
    run.grace = "running";
    this.#then(
      subject,
      run,
      clock.sleep(graceMsOf(subject.es), run.signal),
      () => {
        run.graceOverAtMs = clock.now();
        run.grace = "over";
      },
      () => {},
    );
  }

  look(subject: Subject, run: Run): void {
    // whatever the triggers say
    if (subject.ruling.sleep !== undefined) {
      run.look = "idle";
      return;
    }
    run.look = "running";
    const asked = this.#options.verdicts.look(subject.key, run.graceOverAtMs, run.signal);
    this.#then(
      subject,
      run,
      asked,
      (verdict) => {
        run.look = verdict.kind === "Idle" ? "idle" : "not-idle";
      },
      () => {
        run.look = "not-idle";
      },
    );
  }

  seal(subject: Subject, run: Run): void {
    const { hub, sealTimeoutMs } = this.#options;
    const { es } = subject;
    run.seal = "running";
    const asked = hub.seal({
      namespace: es.metadata.namespace ?? "",
      service: es.spec.service,
      epoch: es.status?.epoch ?? 0,
      drainEpoch: run.drainEpoch,
      resolvers: subject.required,
      timeoutMs: sealTimeoutMs,
    });
    this.#then(
      subject,
      run,
      asked,
      (outcome) => {
        run.seal = outcome.ok ? "acked" : "refused";
        if (!outcome.ok) run.sealDetail = `${outcome.by ?? ""} ${outcome.reason}`.trim();
      },
      (text) => {
        run.seal = "refused";
        run.sealDetail = text;
      },
    );
  }

  #then<T>(
    subject: Subject,
    run: Run,
    work: Promise<T>,
    done: (value: T) => void,
    failed: (text: string) => void,
  ): void {
    work
      .then(done, (error) => failed(errorText(error)))
      .finally(() => {
        if (!run.signal.aborted) this.#options.enqueue(subject.key);
      });
  }
}
