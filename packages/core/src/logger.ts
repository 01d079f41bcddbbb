import { type DestinationStream, type Logger, pino } from "pino";

export type { Logger };

/** Keys whose values never reach a log line, at the top level and one below. */
const secretKeys = ["authorization", "Authorization", "token", "password", "cookie", "headers.authorization"];

/**
 * The root logger of a process: pino JSON on standard output, one line per decision, with the stable keys
 * `namespace`, `service`, `phase`, `epoch`, `reason`, `error`.
 * @param destination where lines go; standard output by default
 */
export function createLogger(
  options: { name: string; level?: string; bindings?: Record<string, unknown> },
  destination?: DestinationStream,
): Logger {
  const settings = {
    name: options.name,
    level: options.level ?? "info",
    base: options.bindings ?? {},
    redact: { paths: [...secretKeys, ...secretKeys.map((key) => `*.${key}`)], censor: "[redacted]" },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(settings) : pino(settings, destination);
}

/** A logger that writes nothing, for tests. */
export const silentLogger: Logger = pino({ level: "silent" });
