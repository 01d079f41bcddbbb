// All models of Kubernetes come along with it, so it is a file of its own, read only where a program is given a kubeconfig.
export { loadYaml } from "@kubernetes/client-node/dist/yaml.js";
