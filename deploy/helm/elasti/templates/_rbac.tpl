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
  {{- include "elasti.subjects" $me | nindent 2 }}
{{- end }}

{{/* Who has the rights of a component: what the operator may, the one that restores in its place may too. */}}
{{- define "elasti.subjects" -}}
{{- $root := index . 0 -}}
{{- $names := list -}}
{{- if eq (index . 1) "restore" -}}
{{- $names = list (include "elasti.component" .) -}}
{{- else -}}
{{- $names = list (include "elasti.serviceAccount" .) -}}
{{- if and (eq (index . 1) "operator") $root.Values.uninstall.restore -}}
{{- $names = append $names (include "elasti.component" (list $root "restore")) -}}
{{- end -}}
{{- end -}}
{{- range $names }}
- kind: ServiceAccount
  name: {{ . }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}
{{- end -}}

{{/* What the restorer needs in the namespace of the installation beside what the operator has. */}}
{{- define "elasti.rules.restore" -}}
# the operator is stopped first
- apiGroups: [apps]
  resources: [deployments/scale]
  resourceNames: [{{ include "elasti.component" (list . "operator") }}]
  verbs: [get, patch]
# and what it would make anew goes last
- apiGroups: [""]
  resources: [configmaps]
  verbs: [delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [delete]
{{- end -}}

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
  verbs: [list, watch, create, update, delete]
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
{{- $deployments := false }}
{{- range .Values.scaleTargets }}
{{- if and (eq .apiGroup "apps") (eq .resource "deployments") }}{{- $deployments = true }}{{- end }}
{{- end }}
{{- if not $deployments }}
# whether the operator of KubeElasti runs
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch]
{{- end }}
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
  verbs: [list, watch]
{{- end }}
{{- if .Values.autoscalers.keda }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, patch]
{{- end }}
{{- if .Values.scaling.enabled }}
{{- if .Values.autoscalers.hpa }}
# policies move bounds
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, patch]
{{- end }}
# what pods use, for metrics of source resource
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [list]
{{- range .Values.scaling.overridableWorkloads | uniq }}
# overrides by the API
- apiGroups: [{{ ternary "argoproj.io" "apps" (eq . "rollouts") }}]
  resources: [{{ . }}]
  verbs: [get, patch]
{{- end }}
{{- if .Values.watchNamespaces }}
# what a caller of the API may do there
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]
  verbs: [create]
{{- end }}
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
{{- if .Values.scaling.enabled }}
# what a caller of the API may do
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}
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
  verbs: [list, create, update]
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
