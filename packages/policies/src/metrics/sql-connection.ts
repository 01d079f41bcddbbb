/** Where an SQL metric is asked, understood from its URL. */
export interface SqlConnection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** As libpq has it: `require` encrypts, `verify` also looks at who answers. */
  readonly tls: "none" | "require" | "verify";
}

const tlsModes: Readonly<Record<string, SqlConnection["tls"]>> = {
  disable: "none",
  allow: "none",
  prefer: "none",
  "no-verify": "require",
  require: "require",
  "verify-ca": "verify",
  "verify-full": "verify",
};

/**
 * Reads `postgres://user:password@host:port/database?sslmode=verify-full`. Other parameters are refused: some name files of
 * the machine that reads the URL.
 * @returns the connection, or what is wrong with it; never any part of it
 */
export function readSqlConnection(text: string): SqlConnection | string {
  const trimmed = text.trim();
  if (!URL.canParse(trimmed)) return "is no URL";
  const url = new URL(trimmed);
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") return "does not begin with postgres://";
  if (url.hostname === "") return "names no host";
  for (const name of url.searchParams.keys()) {
    if (name !== "sslmode" && name !== "application_name") return "has parameters beside sslmode and application_name";
  }
  const tls = tlsModes[url.searchParams.get("sslmode") ?? "prefer"];
  if (tls === undefined) return `has an unknown sslmode: expected ${Object.keys(tlsModes).join(", ")}`;
  try {
    const user = decodeURIComponent(url.username);
    const database = decodeURIComponent(url.pathname.slice(1));
    if (user === "") return "names no user";
    return {
      host: decodeURIComponent(url.hostname).replace(/^\[|\]$/g, ""),
      port: url.port === "" ? 5432 : Number(url.port),
      user,
      password: decodeURIComponent(url.password),
      database: database === "" ? user : database,
      tls,
    };
  } catch {
    return "has a % that is not before two hex digits";
  }
}
