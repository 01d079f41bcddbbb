import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { addresses, type Places } from "./places.ts";
import { tryRun } from "./shell.ts";

/** Whether the API server says that it is ready; asked from within the node. */
export async function ready(places: Places): Promise<boolean> {
  const certificate = join(places.folder, "certificates", "apiserver.crt");
  if (!existsSync(certificate) || readFileSync(certificate).length === 0) return false;
  const url = `https://${addresses.node[1]}:${addresses.apiPort}/readyz`;
  const said = await tryRun(
    "nsenter",
    `--net=/run/netns/${places.netns(1)}`,
    process.execPath,
    "-e",
    ask,
    url,
    certificate,
  );
  return said === "ok";
}

const ask = `
const { get } = require("node:https");
const [url, certificate] = process.argv.slice(1);
get(url, { ca: require("node:fs").readFileSync(certificate) }, (answer) => answer.pipe(process.stdout)).on("error", () => process.exit(1));
`;
