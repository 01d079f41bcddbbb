import v8 from "node:v8";

/** Runs a program that has been loaded as this process. */
export function run(main: () => Promise<number>): void {
  v8.setFlagsFromString("--semi-space-growth-factor=2");
  void main().then((code) => {
    process.exitCode = code;
  });
}
