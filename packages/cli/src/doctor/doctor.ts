import { errorText } from "@elasti/core";
import { type Access, connect } from "../cluster-access.ts";
import { findInstallation } from "../installation.ts";
import type { Place } from "../place.ts";
import { checks } from "./checks/index.ts";
import { exitCodeOf, type Finding, sorted, textOf } from "./finding.ts";
import { doctorUsage, parseDoctor } from "./options.ts";
import { readDoctorSnapshot } from "./read.ts";
import type { DoctorSnapshot } from "./snapshot.ts";

/** Everything that the checks find. */
export function examine(snapshot: DoctorSnapshot): Finding[] {
  return sorted(Object.values(checks).flatMap((check) => check(snapshot)));
}

/** `elasti doctor`. @returns the exit code */
export async function doctor(args: readonly string[], place: Place): Promise<number> {
  const parsed = parseDoctor(args, place.env);
  if (parsed.kind === "help") {
    place.write(doctorUsage);
    return 0;
  }
  if (parsed.kind === "wrong") {
    place.writeError(`elasti: ${parsed.message}; elasti doctor --help lists the arguments\n`);
    return 2;
  }
  const { options } = parsed;
  let access: Access | undefined;
  try {
    access = await connect(options, place.env);
    const inCluster = access.cluster.namespace;
    const hints =
      options.hints.namespace === undefined && place.env.KUBERNETES_SERVICE_HOST !== undefined
        ? { ...options.hints, namespace: inCluster }
        : options.hints;
    const found = await findInstallation(access.client, hints);
    const snapshot = await readDoctorSnapshot(access.client, options, found);
    const findings = examine(snapshot);
    const exitCode = exitCodeOf(findings);
    const looked = `${snapshot.elastiServices.length} ElastiServices, ${snapshot.rights.length} rights and ${snapshot.triggers.length} triggers were looked at`;
    place.write(options.json ? `${JSON.stringify({ findings, exitCode })}\n` : textOf(findings, looked));
    return exitCode;
  } catch (error) {
    place.writeError(`elasti: ${errorText(error)}\n`);
    return 2;
  } finally {
    await access?.client.close();
  }
}
