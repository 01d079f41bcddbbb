#!/usr/bin/env node
// Entry point that an old Node.js can still read, so that it can say what is wrong in one line.
const major = Number(process.versions.node.split(".")[0]);
if (major < 26) {
  process.stderr.write(
    `elasti-resolver: Node.js 26 or newer is needed, this is ${process.version}; inside the repository start it through npm, which brings its own\n`,
  );
  process.exit(1);
}
const { main } = await import("../src/main.ts");
process.exitCode = await main(process.env);
