import type { KubeRequest } from "@elasti/kube";
import { type Step, steps } from "./stage.ts";

/** A call of the operator about one service, as far as requests can be aimed at it. */
export type Call = "status Sealed" | "status podsGone" | "status" | "park" | "unpark" | "slice" | "zero" | "fence";

/** The moment at which requests are sent. */
export type Moment =
  /** While this call of the operator is kept from leaving, or its answer from coming back. */
  | { readonly during: Call; readonly when: "before-send" | "after-answer" }
  /** When the step has begun, after a pause of up to so many ms. */
  | { readonly in: Step; readonly upToMs: number };

/** Moments of each step. */
const moments: Readonly<Record<Step, readonly Moment[]>> = {
  drain: [
    { during: "slice", when: "before-send" },
    { during: "park", when: "before-send" },
    { during: "park", when: "after-answer" },
  ],
  prove: [{ in: "prove", upToMs: 1_000 }],
  grace: [
    { in: "grace", upToMs: 3_500 },
    { during: "status Sealed", when: "before-send" },
  ],
  seal: [
    { during: "status Sealed", when: "after-answer" },
    { in: "seal", upToMs: 0 },
  ],
  zero: [
    { during: "zero", when: "before-send" },
    { during: "zero", when: "after-answer" },
  ],
  unpark: [
    { in: "unpark", upToMs: 0 },
    { in: "unpark", upToMs: 300 },
    { during: "status podsGone", when: "before-send" },
    { during: "status podsGone", when: "after-answer" },
    { during: "unpark", when: "before-send" },
    { during: "unpark", when: "after-answer" },
  ],
  wake: [
    { in: "wake", upToMs: 0 },
    { in: "wake", upToMs: 1_500 },
  ],
};

export const momentOf = (step: Step): Moment => drawn(moments[step]);

export const drawn = <T>(values: readonly T[]): T => values[Math.floor(Math.random() * values.length)]!;

/** Least numbers of requests per step for so many cycles: what 200 cycles need, in proportion. */
export function minimums(cycles: number): { insideTransition: number; perStep: Record<Step, number> } {
  const share = (of200: number) => Math.ceil((of200 * cycles) / 200);
  const often: readonly Step[] = ["seal", "zero", "wake"];
  return {
    insideTransition: share(6_000),
    perStep: Object.fromEntries(steps.map((step) => [step, share(often.includes(step) ? 300 : 100)])) as Record<
      Step,
      number
    >,
  };
}

/** Which call of the operator a request is, and for which service; undefined for what nobody aims at. */
export function callOf(request: KubeRequest): { call: Call; service: string } | undefined {
  const { resource, verb, subresource, name = "", contentType, body } = request;
  const { spec, status, metadata } = (body ?? {}) as {
    spec?: { replicas?: number; selector?: Record<string, unknown> };
    status?: { phase?: string; podsGone?: boolean };
    metadata?: { labels?: Record<string, string> };
  };
  switch (resource?.plural) {
    case "deployments":
      if (verb !== "patch" || subresource !== "scale") return undefined;
      if (contentType?.startsWith("application/apply-patch") === true) return { call: "fence", service: name };
      return spec?.replicas === 0 ? { call: "zero", service: name } : undefined;
    case "elastiservices":
      if (verb !== "patch" || subresource !== "status") return undefined;
      if (status?.phase === "Sealed") return { call: "status Sealed", service: name };
      if (status?.phase === undefined && status?.podsGone === true) return { call: "status podsGone", service: name };
      return { call: "status", service: name };
    case "services": {
      const [value] = Object.values(spec?.selector ?? {});
      if (verb !== "patch" || value === undefined) return undefined;
      return { call: value === null ? "unpark" : "park", service: name };
    }
    case "endpointslices": {
      const service = metadata?.labels?.["kubernetes.io/service-name"];
      return service === undefined ? undefined : { call: "slice", service };
    }
    default:
      return undefined;
  }
}
