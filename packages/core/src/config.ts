import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";
import { durationPattern, parseDuration } from "./durations.ts";
import { defineErrors, ElastiError, errorText } from "./errors.ts";

const errors = defineErrors({
  ELASTI_BAD_CONFIGURATION: { status: 500, retryable: false, title: "Configuration cannot be used" },
});

/** One setting: where it comes from, what it means, and how its text becomes a value. */
export interface Setting<T> {
  /** Environment name, e.g. `POLLING_INTERVAL`. */
  readonly env: string;
  /** Default as the text a person would write; undefined means that it must be given. */
  readonly fallback?: string;
  readonly description: string;
  /** Its value is never printed. */
  readonly secret?: boolean;
  /** What a value looks like, for messages and documentation. */
  readonly expected: string;
  /** JSON Schema of a value as it stands in YAML, for the values of the Helm chart. */
  readonly schema: ValueSchema;
  /** Gives the value, or throws for a text that is not one. */
  parse(text: string): T;
}

/** The part of JSON Schema that describes one value. */
export interface ValueSchema {
  readonly type: "string" | "integer" | "boolean" | "array" | "object";
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly string[];
  readonly items?: ValueSchema;
}

type Common = { env: string; fallback?: string; description: string; secret?: boolean };

/** The kinds of settings; each turns text into a typed value or throws. */
export const setting = {
  text(common: Common & { pattern?: RegExp; expected?: string }): Setting<string> {
    return {
      ...common,
      expected: common.expected ?? "text",
      schema: { type: "string", ...(common.pattern === undefined ? {} : { pattern: common.pattern.source }) },
      parse: (text) => {
        if (common.pattern !== undefined && !common.pattern.test(text)) throw new Error("does not match");
        return text;
      },
    };
  },
  integer(common: Common & { min?: number; max?: number }): Setting<number> {
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = common;
    return {
      ...common,
      expected: `a whole number from ${min} to ${max}`,
      schema: { type: "integer", minimum: min, maximum: max },
      parse: (text) => {
        const value = Number(text);
        if (!/^-?\d+$/.test(text) || value < min || value > max) throw new Error("out of range");
        return value;
      },
    };
  },
  /** Milliseconds, written as `30s`. */
  durationMs(common: Common & { minMs?: number; maxMs?: number }): Setting<number> {
    const { minMs = 0, maxMs = 7 * 86_400_000 } = common;
    return {
      ...common,
      expected: `a duration such as 30s or 5m, from ${minMs}ms to ${maxMs / 1000}s`,
      schema: { type: "string", pattern: durationPattern },
      parse: (text) => {
        const value = parseDuration(text);
        if (value < minMs || value > maxMs) throw new Error("out of range");
        return value;
      },
    };
  },
  boolean(common: Common): Setting<boolean> {
    return {
      ...common,
      expected: "true or false",
      schema: { type: "boolean" },
      parse: (text) => {
        if (text !== "true" && text !== "false") throw new Error("neither true nor false");
        return text === "true";
      },
    };
  },
  oneOf<const T extends string>(common: Common & { values: readonly T[] }): Setting<T> {
    return {
      ...common,
      expected: `one of ${common.values.join(", ")}`,
      schema: { type: "string", enum: common.values },
      parse: (text) => {
        const found = common.values.find((value) => value === text);
        if (found === undefined) throw new Error("not in the list");
        return found;
      },
    };
  },
  /** Items separated by commas; empty text is an empty list. */
  list(common: Common): Setting<readonly string[]> {
    return {
      ...common,
      expected: "items separated by commas",
      schema: { type: "array", items: { type: "string" } },
      parse: (text) =>
        text
          .split(",")
          .map((item) => item.trim())
          .filter((item) => item !== ""),
    };
  },
  /** A JSON text that fits a schema. */
  json<T extends TSchema>(common: Common & { schema: T; expected: string }): Setting<Static<T>> {
    return {
      ...common,
      schema: { type: "object" },
      parse: (text) => Value.Parse(common.schema, JSON.parse(text)) as Static<T>,
    };
  },
};

/** The values of a table of settings. */
export type ConfigOf<T extends Record<string, Setting<unknown>>> = {
  readonly [K in keyof T]: T[K] extends Setting<infer V> ? V : never;
};

/**
 * Reads all settings from an environment. Every problem is reported at once, each with the name and what was expected.
 * @throws ELASTI_BAD_CONFIGURATION with `details.errors: {field, message}[]`
 */
export function readConfig<T extends Record<string, Setting<unknown>>>(
  table: T,
  env: Readonly<Record<string, string | undefined>>,
): ConfigOf<T> {
  const values: Record<string, unknown> = {};
  const problems: { field: string; message: string }[] = [];
  for (const [key, entry] of Object.entries<Setting<unknown>>(table)) {
    const given = env[entry.env];
    const text = given === undefined || given === "" || isServiceLink(entry.env, given) ? entry.fallback : given;
    if (text === undefined) {
      problems.push({ field: entry.env, message: `is required: expected ${entry.expected}` });
      continue;
    }
    try {
      values[key] = entry.parse(text);
    } catch (error) {
      const shown = entry.secret === true ? "its value" : JSON.stringify(text);
      const why = error instanceof ElastiError ? `; ${errorText(error)}` : "";
      problems.push({
        field: entry.env,
        message: `${shown} cannot be used: expected ${entry.expected}${entry.secret === true ? "" : why}`,
      });
    }
  }
  if (problems.length > 0) {
    throw errors.ELASTI_BAD_CONFIGURATION(problems.map(({ field, message }) => `${field} ${message}`).join("; "), {
      details: { errors: problems },
    });
  }
  return values as ConfigOf<T>;
}

/**
 * Kubernetes tells every pod of the Services in its namespace by variables such as `ELASTI_OPERATOR_PORT=tcp://10.96.0.7:8013`
 * for a Service `elasti-operator`, unless the pod opts out (enableServiceLinks). One of them can have the name of a setting.
 */
function isServiceLink(name: string, value: string): boolean {
  return name.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//.test(value);
}

/** The settings as they may be printed: secrets are replaced. */
export function redactConfig<T extends Record<string, Setting<unknown>>>(
  table: T,
  config: ConfigOf<T>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries<Setting<unknown>>(table).map(([key, entry]) => [
      entry.env,
      entry.secret === true && config[key as keyof T] !== "" ? "[redacted]" : config[key as keyof T],
    ]),
  );
}
