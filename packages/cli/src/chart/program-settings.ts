import type { Setting } from "@elasti/core";
import type { SettingsTable } from "../configuration-page.ts";
import type { Value } from "./value-tree.ts";

/** Settings that the chart works out itself, or has a value of its own for. */
const decided: ReadonlySet<string> = new Set([
  "POD_NAME",
  "POD_NAMESPACE",
  "POD_IP",
  "NODE_NAME",
  "KUBECONFIG",
  "KUBERNETES_CLUSTER_DOMAIN",
  "WATCH_NAMESPACES",
  "ELASTI_ALLOWED_ACCOUNTS",
  "ELASTI_STATIC_TOKENS",
  "ELASTI_TOKEN_CHECK",
  "ELASTI_OPERATOR_PORT",
  "ELASTI_OPERATOR_SERVICE",
  "ELASTI_RESOLVER_SERVICE",
  "ELASTI_INTERNAL_PORT",
  "ELASTI_HOST_PORT",
  "ELASTI_TOKEN_FILE",
  "ELASTI_LEASE_NAME",
  "ELASTI_DRAIN_SECONDS",
  "ELASTI_SETTLE_TIME",
  "PROMETHEUS_TRIGGER_SERVER_ADDRESS",
  "PROMETHEUS_TRIGGER_AUTHORIZATION_HEADER",
  "DATABASE_URL",
  "ELASTI_OPERATOR_REPLICAS",
]);
/** The policy engine has values of its own. */
const isDecided = (env: string): boolean => decided.has(env) || env.startsWith("ELASTI_SCALING_");

/** The settings of a program that the values of the chart offer, by the name that they have there. */
export function offeredSettings(table: SettingsTable): Readonly<Record<string, Setting<unknown>>> {
  return Object.fromEntries(
    Object.entries(table)
      .filter(([, { env }]) => !isDecided(env))
      // durations are written with their unit
      .map(([key, setting]) => [key.replace(/Ms$/, ""), setting]),
  );
}

/** The value under which these settings stand. */
export function settingsValue(description: string, table: SettingsTable): Value {
  const offered = Object.entries(offeredSettings(table));
  return {
    description,
    fallback: {},
    schema: {
      type: "object",
      additionalProperties: false,
      properties: Object.fromEntries(
        offered.map(([name, setting]) => [name, { description: setting.description, ...setting.schema }]),
      ),
    },
    members: offered.map(([name, { description: meaning, fallback = "", expected, env }]) => ({
      name,
      description: `${meaning} (\`${env}\`)`,
      fallback,
      expected,
    })),
  };
}

/** Name in the values -> environment variable, which the templates read. */
export function environmentNames(table: SettingsTable): Record<string, string> {
  return Object.fromEntries(Object.entries(offeredSettings(table)).map(([name, { env }]) => [name, env]));
}
