// JavaScript that an old Node.js can still read, so that it can say what is wrong in one line.
import module from "node:module";
import { fileURLToPath } from "node:url";
import v8 from "node:v8";

/**
 * Runs a program as this process.
 * @param {string} name
 * @param {() => Promise<{ main(env: Record<string, string | undefined>): Promise<number> }>} load imports it
 */
export async function launch(name, load) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 26) {
    process.stderr.write(
      `${name}: Node.js 26 or newer is needed, this is ${process.version}; inside the repository start it through npm, which brings its own\n`,
    );
    process.exit(1);
  }
  const { endWhileLoading } = await import("./src/end-while-loading.ts");
  endWhileLoading();
  // The second start then needs no type stripper: 20 to 30 MB less, and half of the time. Where it cannot be written, nothing happens.
  module.enableCompileCache(fileURLToPath(new URL("../../node_modules/.cache/elasti", import.meta.url)));
  // Loading leaves little but garbage. A young generation that grows by it stays so (10 MB); once loaded it may, for requests
  // need it: kept small, it costs half as much CPU time again per request.
  v8.setFlagsFromString("--semi-space-growth-factor=1");
  const { main } = await load();
  v8.setFlagsFromString("--semi-space-growth-factor=2");
  // now, because a process that is killed writes nothing
  module.flushCompileCache();
  process.exitCode = await main(process.env);
}
