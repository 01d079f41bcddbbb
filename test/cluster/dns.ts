import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { addresses } from "./places.ts";
import { type Sandbox, waitFor } from "./sandbox.ts";

/**
 * Starts CoreDNS on the first node, at every address of the node: pods find Services by their names, and nothing of the internet.
 * @returns `answers` resolves once it knows the Services, which does not have to be waited for before something else is started
 */
export async function startDns(
  sandbox: Sandbox,
  program: string,
  kubeconfig: string,
): Promise<{ answers(): Promise<void> }> {
  const { folder, logs } = sandbox.places;
  const config = join(folder, "Corefile");
  await writeFile(
    config,
    [".:53 {", "  errors", `  kubernetes ${addresses.domain} {`, `    kubeconfig ${kubeconfig}`, "  }", "}", ""].join(
      "\n",
    ),
  );
  await sandbox.start("coredns", program, [`-conf=${config}`]);
  const log = join(logs, "coredns.log");
  // what it says when it listens, after it has read all
  const started = () => existsSync(log) && /^CoreDNS-/m.test(readFileSync(log, "utf8"));
  return { answers: () => waitFor(started, 30_000, log) };
}
