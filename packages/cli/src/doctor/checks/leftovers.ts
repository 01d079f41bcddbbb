import { leftoversOf, words } from "../../restore/leftovers.ts";
import type { Check } from "../snapshot.ts";

/** Nothing of Elasti stands where no ElastiService is left. */
export const checkLeftovers: Check = (snapshot) =>
  leftoversOf(snapshot)
    // what a policy has moved is there for the policy
    .filter(({ elastiService, kind }) => elastiService === undefined && kind !== "bounds")
    .map(({ object, kind }) => ({
      severity: kind === "park" ? "error" : "warning",
      reason: "LeftBehind",
      object,
      message: `no ElastiService names it any more, and it ${words[kind].left}`,
      mend: "an operator that leads removes it; with no operator: elasti restore",
    }));
