import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { policyErrors } from "../errors.ts";

/** What `target_type` can name, and which executor moves such a target. */

/** `scale` writes replicas, `keda` moves the bounds of a ScaledObject. */
export const executorNames = ["scale", "keda"] as const;
export type ExecutorName = (typeof executorNames)[number];

/** A target type as a user configures it. */
export const TargetTypeSchema = Type.Object(
  {
    executor: Type.Unsafe<ExecutorName>({ type: "string", enum: [...executorNames] }),
    api_version: Type.Optional(Type.String({ pattern: "^([a-z0-9.-]+/)?v[0-9a-z]+$" })),
    kind: Type.Optional(Type.String({ pattern: "^[A-Z][A-Za-z0-9]{0,62}$" })),
  },
  { additionalProperties: false },
);

export interface TargetType {
  readonly name: string;
  readonly executor: ExecutorName;
  /** What target_ref names; `open`: what it says of itself, a Deployment where it says nothing. */
  readonly names: "elastiservice" | "scaledobject" | "open" | { readonly apiVersion: string; readonly kind: string };
}

const builtIn: readonly TargetType[] = [
  { name: "elastiservice", executor: "scale", names: "elastiservice" },
  { name: "workload", executor: "scale", names: "open" },
  { name: "scaledobject", executor: "keda", names: "scaledobject" },
];

/** Most target types that a user may add. */
const maxAdded = 100;

export class TargetTypes {
  readonly #types: ReadonlyMap<string, TargetType>;

  private constructor(types: readonly TargetType[]) {
    this.#types = new Map(types.map((type) => [type.name, type]));
  }

  /**
   * The built-in target types and those that are configured, an object by name.
   * @throws ELASTI_POLICY_SETTINGS with `details.errors: {field, message}[]`, all problems at once
   */
  static parse(configured: Readonly<Record<string, unknown>> = {}, field = "ELASTI_SCALING_TARGET_TYPES"): TargetTypes {
    const problems: { field: string; message: string }[] = [];
    const added: TargetType[] = [];
    const entries = Object.entries(configured);
    if (entries.length > maxAdded)
      problems.push({ field, message: `has ${entries.length} target types: expected at most ${maxAdded}` });
    for (const [name, value] of entries.slice(0, maxAdded)) {
      const where = `${field}.${name}`;
      const before = problems.length;
      if (!/^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$/.test(name))
        problems.push({
          field: where,
          message: "is no name: expected small letters, digits, - and _, such as cdc-worker",
        });
      if (builtIn.some((type) => type.name === name))
        problems.push({ field: where, message: "is built in and cannot be configured" });
      for (const { instancePath, message } of Value.Errors(TargetTypeSchema, value))
        problems.push({ field: `${where}${instancePath.replaceAll("/", ".")}`, message });
      if (problems.length > before) continue;
      const type = value as Static<typeof TargetTypeSchema>;
      if (type.api_version !== undefined && type.kind === undefined)
        problems.push({ field: `${where}.kind`, message: "is required beside api_version" });
      else added.push({ name, executor: type.executor, names: namesOf(type) });
    }
    if (problems.length > 0) {
      throw policyErrors.ELASTI_POLICY_SETTINGS(problems.map((one) => `${one.field} ${one.message}`).join("; "), {
        details: { errors: problems },
      });
    }
    return new TargetTypes([...builtIn, ...added]);
  }

  get(name: string): TargetType | undefined {
    return this.#types.get(name);
  }

  /** In the order in which they are listed to who names another. */
  get names(): readonly string[] {
    return [...this.#types.keys()];
  }

  /** By name, whether a policy has to say which object it means: one of a user's own type may only wait for it. */
  get references(): Readonly<Record<string, { readonly needsRef: boolean }>> {
    const isBuiltIn = (name: string): boolean => builtIn.some((type) => type.name === name);
    return Object.fromEntries(this.names.map((name) => [name, { needsRef: isBuiltIn(name) }]));
  }

  /** The kinds of workloads that targets can be of by configuration, for whoever grants rights. */
  get kinds(): readonly { readonly apiVersion: string; readonly kind: string }[] {
    return [...this.#types.values()].flatMap(({ names }) => (typeof names === "object" ? [names] : []));
  }
}

function namesOf({ executor, api_version, kind }: Static<typeof TargetTypeSchema>): TargetType["names"] {
  if (kind === "ElastiService") return "elastiservice";
  if (kind === "ScaledObject") return "scaledobject";
  if (kind !== undefined) return { apiVersion: api_version ?? "apps/v1", kind };
  return executor === "keda" ? "scaledobject" : "open";
}
