import type { Endpoint, EndpointSlice, Service } from "@elasti/kube";

export function service(name: string, clusterIP: string, ports: Service["spec"]["ports"] = [{ port: 80 }]): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", uid: `uid-${name}`, resourceVersion: "1" },
    spec: { clusterIP, ports, selector: { app: name } },
  };
}

export function slice(
  service: string,
  endpoints: (Endpoint | string)[],
  ports: EndpointSlice["ports"] = [{ name: "", port: 8080, protocol: "TCP" }],
  suffix = "a",
): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${service}-${suffix}`, namespace: "default", labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: endpoints.map((endpoint) => (typeof endpoint === "string" ? { addresses: [endpoint] } : endpoint)),
    ports,
  };
}
