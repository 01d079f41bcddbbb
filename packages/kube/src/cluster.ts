/** PEM texts. */
export interface Certificates {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** Where an API server is and how to be known to it. */
export interface Cluster {
  /** `https://10.96.0.1:443` or `http://...`, with an optional path prefix. */
  readonly server: string;
  /** PEM certificates that the server's one must lead to; the system's where left out. */
  readonly ca?: string | undefined;
  /** PEM client certificate and key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly skipTLSVerify?: boolean | undefined;
  /** Name to check the server's certificate against, where it differs from the host in `server`. */
  readonly serverName?: string | undefined;
  /** Namespace of the context, or of the pod. */
  readonly namespace?: string | undefined;
  /** `ca`, `cert` and `key` as their files are now, asked before every new connection; left out where they never change. */
  certificates?(): Promise<Certificates>;
  /** Token or certificates were refused, by either side: files are to be read again soon. */
  refused?(): void;
  /** The bearer token of this moment, asked before every request. */
  token(): Promise<string | undefined>;
}
