/** Bodies for who tries the API. Each is accepted as it stands, but for the end of an override, which has to be thought of. */

export const policyExample = {
  name: "checkout",
  description: "More of it while its pods are busy, and three in office hours",
  target_type: "workload",
  target_ref: { namespace: "shop", name: "checkout", api_version: "apps/v1", kind: "Deployment" },
  min_replicas: 1,
  max_replicas: 10,
  cooldown_seconds: 300,
  shadow: true,
  scale_up_rules: [
    {
      name: "busy",
      metric: { source: "resource", resource: "cpu" },
      operator: "gt",
      threshold: 80,
      duration: "2m",
      scale_by: "50%",
    },
  ],
  scale_down_rules: [
    {
      name: "quiet",
      metric: { source: "resource", resource: "cpu" },
      operator: "lt",
      threshold: 20,
      duration: "10m",
      scale_by: -1,
    },
  ],
  schedules: [
    { name: "office", start: "0 8 * * 1-5", end: "0 18 * * 1-5", timezone: "Europe/Berlin", min_replicas: 3 },
  ],
};

export const changeExample = { max_replicas: 20, cooldown_seconds: 120 };

export const overrideExample = {
  kind: "at_least",
  replicas: 3,
  until: "2030-01-01T08:00:00Z",
  reason: "the sale begins",
};
