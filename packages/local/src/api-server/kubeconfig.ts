/**
 * A kubeconfig with one cluster, one user and one context, written as JSON, which is YAML too. The token stands twice: for
 * clients that send it over plain HTTP, and in the address for kubectl, which does not.
 */
export function kubeconfigText(url: string, token: string, user: string): string {
  const name = "elasti-local";
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server: `${url}/token/${encodeURIComponent(token)}` } }],
    users: [{ name: user, user: { token } }],
    contexts: [{ name, context: { cluster: name, user, namespace: "default" } }],
    "current-context": name,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
