import { fileURLToPath } from "node:url";

/**
 * The application of the demo, the tests and the benchmarks: plain JavaScript for `command: ["node", sampleAppPath]`. Settings
 * by environment: POD_IP, PORT (8080), START_MS (0), STOP_DELAY_MS (0: how long it goes on serving once it is told to end),
 * POD_NAME.
 */
export const sampleAppPath = fileURLToPath(new URL("../../sample-app/app.mjs", import.meta.url));
