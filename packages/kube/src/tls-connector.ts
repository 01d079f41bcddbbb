import type { buildConnector as undiciConnector } from "undici";
import buildConnector from "undici/lib/core/connect.js";
import type { Certificates, Cluster } from "./cluster.ts";

/**
 * Opens connections with the certificates that there are at that moment, so that a CA or a client certificate that was renewed
 * on disk is used without a restart. Connections that are open keep theirs.
 */
export function connectorOf(cluster: Cluster, timeoutMs: number): undiciConnector.connector {
  let used: Certificates | undefined;
  let connector: undiciConnector.connector | undefined;
  const connectorFor = (now: Certificates): undiciConnector.connector => {
    if (connector === undefined || now.ca !== used?.ca || now.cert !== used?.cert || now.key !== used?.key) {
      used = now;
      connector = buildConnector({
        timeout: timeoutMs,
        keepAlive: true,
        // left out it offers HTTP/2, which API servers take, whatever is said to the pool: then a request that is aborted may have
        // Node's session write without end, and the process die of its memory
        allowH2: false,
        ...(now.ca === undefined ? {} : { ca: now.ca }),
        ...(now.cert === undefined ? {} : { cert: now.cert }),
        ...(now.key === undefined ? {} : { key: now.key }),
        ...(cluster.skipTLSVerify === true ? { rejectUnauthorized: false } : {}),
        ...(cluster.serverName === undefined ? {} : { servername: cluster.serverName }),
      });
    }
    return connector;
  };
  return (options, callback) => {
    const connect = (now: Certificates): void => {
      try {
        connectorFor(now)(options, (...answer) => {
          // it may be that the certificates are no longer those of the server
          if (answer[0] !== null) cluster.refused?.();
          callback(...answer);
        });
      } catch (error) {
        // one of the two files of a client certificate was read before it was renewed, or half written
        cluster.refused?.();
        callback(error instanceof Error ? error : new Error(String(error)), null);
      }
    };
    if (cluster.certificates === undefined) connect(cluster);
    else cluster.certificates().then(connect, (error: Error) => callback(error, null));
  };
}
