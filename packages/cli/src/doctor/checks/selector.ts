import { PARK_KEY } from "@elasti/api";
import type { Service } from "@elasti/kube";

/** The user's selector: the live one without our key. */
export function liveSelector({ spec }: Pick<Service, "spec">): Record<string, string> {
  const { [PARK_KEY]: _, ...selector } = spec.selector ?? {};
  return selector;
}
