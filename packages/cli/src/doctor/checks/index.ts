import type { Check } from "../snapshot.ts";
import { checkConditions } from "./conditions.ts";
import { checkConsumers } from "./consumers.ts";
import { checkDefinition, checkPrograms } from "./installation.ts";
import { checkLeftovers } from "./leftovers.ts";
import { checkPolicies } from "./policies.ts";
import { checkRights } from "./rights.ts";
import { checkRouting } from "./routing.ts";
import { checkTriggers } from "./triggers.ts";

/** What could not be read is told, so that silence means health. */
const checkUnread: Check = ({ unread }) =>
  unread.map(({ what, why }) => ({ severity: "info", reason: "NotRead", object: what, message: why, mend: "" }));

/** Every check, by the name that `--json` counts them under. */
export const checks: Readonly<Record<string, Check>> = {
  definition: checkDefinition,
  programs: checkPrograms,
  rights: checkRights,
  policies: checkPolicies,
  routing: checkRouting,
  consumers: checkConsumers,
  triggers: checkTriggers,
  conditions: checkConditions,
  leftovers: checkLeftovers,
  unread: checkUnread,
};
