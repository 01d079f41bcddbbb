import { errorText } from "@elasti/core";
import type { Place } from "../place.ts";
import { applyPolicies, diffPolicies } from "./apply.ts";
import { PoliciesClient, PoliciesFailure } from "./client.ts";
import { deletePolicies, getPolicies, showHistory } from "./listing.ts";
import { type PoliciesOptions, parsePolicies, policiesUsage } from "./options.ts";

/** `elasti policies`. @returns the exit code */
export async function policies(args: readonly string[], place: Place): Promise<number> {
  const parsed = parsePolicies(args, place.env);
  if (parsed.kind === "help") {
    place.write(policiesUsage);
    return 0;
  }
  if (parsed.kind === "wrong") {
    place.writeError(`elasti: ${parsed.message}; elasti policies --help lists the arguments\n`);
    return 2;
  }
  let client: PoliciesClient | undefined;
  try {
    client = await PoliciesClient.open(parsed.options, place.signal);
    return await run(client, parsed.options, place);
  } catch (error) {
    const fields = error instanceof PoliciesFailure ? (error.problem?.errors ?? []) : [];
    place.writeError(
      `elasti: ${errorText(error)}\n${fields.map((one) => `  ${one.field}: ${one.message}\n`).join("")}`,
    );
    return 2;
  } finally {
    await client?.close();
  }
}

function run(client: PoliciesClient, options: PoliciesOptions, place: Place): Promise<number> {
  switch (options.verb) {
    case "apply":
      return applyPolicies(client, options.files, place);
    case "diff":
      return diffPolicies(client, options.files, place);
    case "get":
      return getPolicies(client, options, place);
    case "delete":
      return deletePolicies(client, options, place);
    case "history":
      return showHistory(client, options, place);
  }
}
