{{/* A Role and its RoleBinding: list of root, component, namespace, name, rules. */}}
{{- define "elasti.role" }}
{{- $root := index . 0 }}
{{- $me := list $root (index . 1) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ index . 3 }}
  namespace: {{ index . 2 }}
  labels:
    {{- include "elasti.labels" $me | nindent 4 }}
  {{- include "elasti.annotations" $me | nindent 2 }}
rules:
  {{- index . 4 | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ index . 3 }}
  namespace: {{ index . 2 }}
  labels:
    {{- include "elasti.labels" $me | nindent 4 }}
  {{- include "elasti.annotations" $me | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ index . 3 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "elasti.serviceAccount" $me }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}

{{/* In every namespace that is looked after. */}}
{{- define "elasti.rules.operator" -}}
- apiGroups: [elasti.truefoundry.com]
  resources: [elastiservices]
  verbs: [get, list, watch, patch]
- apiGroups: [elasti.truefoundry.com]
  resources: [elastiservices/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, update, patch, delete]
# why a wake takes long is read from pods and their events
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch, create, patch]
# owner references that keep their owner from going first, where the cluster checks that right
- apiGroups: [elasti.truefoundry.com]
  resources: [elastiservices/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [services/finalizers]
  verbs: [update]
# OpenShift: slices with the addresses of pods
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices/restricted]
  verbs: [create]
{{- range .Values.scaleTargets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource }}]
  verbs: [get, list, watch]
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, patch]
{{- end }}
{{- if .Values.watchNamespaces }}
# whether the namespace is being deleted: this one alone, as this is a Role
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
{{- if .Values.autoscalers.hpa }}
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
{{- end }}
{{- if .Values.autoscalers.keda }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, patch]
{{- end }}
{{- end -}}

{{/* What concerns no namespace, or all. */}}
{{- define "elasti.rules.cluster" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- if .Values.autoscalers.keda }}
# the version of KEDA
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [scaledobjects.keda.sh]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{/* In the namespace of the installation. */}}
{{- define "elasti.rules.home.operator" -}}
# the port table
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- if .Values.watchNamespaces }}
# which resolvers there are
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{- define "elasti.rules.resolver" -}}
- apiGroups: [elasti.truefoundry.com]
  resources: [elastiservices]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end -}}

{{- define "elasti.rules.home.resolver" -}}
{{- if .Values.watchNamespaces -}}
# which operators there are
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end }}
{{- end -}}
