import { silentLogger, systemClock } from "@elasti/core";
import { type Deployment, type KubeClient, Reflector, resources } from "@elasti/kube";
import { type AuditCall, AuditLog } from "../../cluster/audit-log.ts";

/** What was asked of a target, in order, as the API server tells it, and who asked. */
export class WriteRecord {
  /** Without repetitions; first what there was. */
  readonly replicas: number[] = [];
  readonly #name: string;
  readonly #audit: AuditLog;
  readonly #calls: AuditCall[] = [];
  readonly #reflector: Reflector<Deployment>;

  private constructor(client: KubeClient, name: string, auditLog: string) {
    this.#name = name;
    this.#audit = new AuditLog(auditLog);
    this.#reflector = new Reflector<Deployment>({
      client,
      resource: resources.deployments,
      namespace: "default",
      fieldSelector: `metadata.name=${name}`,
      logger: silentLogger,
      clock: systemClock,
    });
    this.#reflector.store.on("change", ({ object }) => {
      const { replicas = 1 } = object.spec;
      if (this.replicas.at(-1) !== replicas) this.replicas.push(replicas);
    });
  }

  /** Of a Deployment, from now on. @param auditLog path of the API server's audit log */
  static async of(client: KubeClient, name: string, auditLog: string): Promise<WriteRecord> {
    const record = new WriteRecord(client, name, auditLog);
    await record.#reflector.start();
    return record;
  }

  /** How many writes to the target by a user went through, since the log began. */
  async writesOf(user: string): Promise<number> {
    this.#calls.push(...(await this.#audit.read()).filter(({ name }) => name === this.#name));
    return this.#calls.filter(
      (call) =>
        call.user === user &&
        ["deployments", "deployments/scale"].includes(call.resource) &&
        ["update", "patch"].includes(call.verb) &&
        call.code < 300,
    ).length;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#reflector.close();
  }
}
