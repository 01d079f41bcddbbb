import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";

/** One call as the API server's audit log has it; times are ms since the epoch with fractions. */
export interface AuditCall {
  readonly verb: string;
  readonly user: string;
  /** API group; empty for the core one, and for what is no resource. */
  readonly group: string;
  /** With its subresource. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly code: number;
  /** For want of a right, or of a token that is accepted; admission may refuse what one has the right to, as in a namespace that ends. */
  readonly refused: boolean;
  readonly receivedAt: number;
  readonly answeredAt: number;
}

/** Reads the audit log of a cluster as it grows. A call is in it once it was answered. */
export class AuditLog {
  readonly #path: string;
  #offset = 0;
  #rest = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** The calls that were written since the last time. */
  async read(): Promise<AuditCall[]> {
    const file = await open(this.#path);
    try {
      const { size } = await file.stat();
      const bytes = Buffer.alloc(Math.max(0, size - this.#offset));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, this.#offset);
      this.#offset += bytesRead;
      const lines = (this.#rest + bytes.toString("utf8", 0, bytesRead)).split("\n");
      this.#rest = lines.pop() ?? "";
      return lines.map((line) => callOf(JSON.parse(line)));
    } finally {
      await file.close();
    }
  }
}

/** The calls of a whole log whose lines have one of these texts; a log of all suites is too long to be held at once. */
export async function* callsAmong(path: string, texts: readonly string[]): AsyncGenerator<AuditCall> {
  for await (const line of createInterface({ input: createReadStream(path) }))
    if (texts.some((text) => line.includes(text))) yield callOf(JSON.parse(line));
}

function callOf(line: {
  verb: string;
  user: { username?: string };
  objectRef?: { apiGroup?: string; resource?: string; subresource?: string; namespace?: string; name?: string };
  responseStatus?: { code?: number };
  annotations?: Record<string, string>;
  requestReceivedTimestamp: string;
  stageTimestamp: string;
}): AuditCall {
  const { apiGroup: group = "", resource = "", subresource, namespace = "", name = "" } = line.objectRef ?? {};
  return {
    verb: line.verb,
    // nobody, where a token was not accepted
    user: line.user.username ?? "",
    group,
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    namespace,
    name,
    code: line.responseStatus?.code ?? 0,
    refused: line.responseStatus?.code === 401 || line.annotations?.["authorization.k8s.io/decision"] === "forbid",
    receivedAt: fineTime(line.requestReceivedTimestamp),
    answeredAt: fineTime(line.stageTimestamp),
  };
}

/** ms since the epoch of an RFC 3339 time, whose fraction a Date would cut to whole ms. */
export function fineTime(text: string): number {
  const [, whole = "", fraction = "", zone = "Z"] = /^([^.Z+]+)(?:\.(\d+))?(Z|[+-].*)?$/.exec(text) ?? [];
  return Date.parse(`${whole}${zone}`) + Number(`0.${fraction || "0"}`) * 1_000;
}
