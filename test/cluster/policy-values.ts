import type { Values } from "./chart.ts";

/** The Secret with the address of the database, as docs/policies.md names it. */
export const databaseSecret = "elasti-policies";

/** The policy engine, evaluating several times a second, with every right that it can be given. */
export const policyValues = {
  scaling: {
    enabled: true,
    database: { existingSecret: databaseSecret },
    evaluationInterval: "500ms",
    overridableWorkloads: ["deployments"],
  },
} satisfies Values;
