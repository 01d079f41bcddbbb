/**
 * A kubeconfig with one cluster, one user and one context, as YAML (JSON strings are YAML scalars). The token
 * stands twice: for clients that send it over plain HTTP, and in the address for kubectl, which does not.
 */
export function kubeconfigText(url: string, token: string, user: string): string {
  return `apiVersion: v1
kind: Config
clusters:
  - name: elasti-local
    cluster:
      server: ${JSON.stringify(`${url}/token/${encodeURIComponent(token)}`)}
users:
  - name: ${JSON.stringify(user)}
    user:
      token: ${JSON.stringify(token)}
contexts:
  - name: elasti-local
    context:
      cluster: elasti-local
      user: ${JSON.stringify(user)}
      namespace: default
current-context: elasti-local
`;
}
