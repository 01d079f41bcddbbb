import { ElastiError, errorCode, errorText } from "@elasti/core";
import { policyErrors } from "../errors.ts";
import { sqliteCode } from "./sqlite.ts";

const SQLITE_CHECK = 275;
const SQLITE_PRIMARY_KEY = 1555;
const SQLITE_UNIQUE = 2067;
const SHOWN = 300;

/** What a unique value was taken of, such as `scaling_policies_name_key` or `scaling_policies.name`; undefined: something else. */
function takenOf(error: unknown): string | undefined {
  if ([SQLITE_UNIQUE, SQLITE_PRIMARY_KEY].includes(sqliteCode(error))) return errorText(error);
  if (errorCode(error) !== "23505") return undefined;
  return String((error as { constraint?: unknown }).constraint);
}

/** What the database did not take for what it says: beyond a bound, or against a check. */
const isRefused = (error: unknown): boolean =>
  sqliteCode(error) === SQLITE_CHECK || /^(22|23)...$/.test(errorCode(error) ?? "");

/** What a write of a policy failed with, as the caller knows it; other errors stay what they are. */
export function writeFault(error: unknown, name: string): unknown {
  const taken = takenOf(error);
  if (taken !== undefined) {
    if (/scaling_policies[._]name/.test(taken)) {
      return policyErrors.ELASTI_POLICY_EXISTS(`a policy is named ${JSON.stringify(name)} already`);
    }
    if (taken.includes("scaling_policies")) return policyErrors.ELASTI_POLICY_EXISTS("a policy has this id already");
    // an id of a rule that another policy took in this very moment: it goes well the next time
    return error;
  }
  return refusal(error);
}

/** What is wrong with what was written, as the caller knows it; other errors stay what they are. */
export const refusal = (error: unknown): unknown =>
  isRefused(error) ? policyErrors.ELASTI_POLICY_INVALID(`the database refuses it: ${errorText(error)}`) : error;

/** @param secrets texts that no message may hold */
export function databaseFault(error: unknown, secrets: readonly string[]): ElastiError {
  if (error instanceof ElastiError) return error;
  let text = errorText(error) || (errorCode(error) ?? "it failed without saying why");
  for (const secret of secrets) text = text.replaceAll(secret, "***");
  // no cause: drivers put addresses and parameters into what they throw
  return policyErrors.ELASTI_POLICY_DATABASE(`the database cannot be used: ${text.slice(0, SHOWN)}`);
}

/** What must not be shown of an address: its password, as it is written and as it is meant. */
export function secretsOf(url: string): readonly string[] {
  const written = /^[a-z]+:\/\/[^/?#@]*?:([^/?#]*)@/i.exec(url)?.[1] ?? "";
  const asParameter = /[?&]password=([^&#]*)/.exec(url)?.[1] ?? "";
  return [url, written, decoded(written), asParameter, decoded(asParameter)].filter((text) => text !== "");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
