{{- define "elasti.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "elasti.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "elasti.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "elasti.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of a component: list of root and component. */}}
{{- define "elasti.component" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" (include "elasti.fullname" $root) (index . 1) -}}
{{- end -}}

{{/* Name of a cluster-wide object: another installation may have the same in another namespace. */}}
{{- define "elasti.clusterComponent" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" (include "elasti.component" .) $root.Release.Namespace -}}
{{- end -}}

{{- define "elasti.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "elasti.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of any object: list of root, component, further labels... */}}
{{- define "elasti.labels" -}}
{{- $root := index . 0 -}}
{{- $own := dict
  "app" (include "elasti.component" .)
  "app.kubernetes.io/version" ($root.Chart.AppVersion | toString)
  "app.kubernetes.io/part-of" "elasti"
  "app.kubernetes.io/managed-by" $root.Release.Service
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- $selector := include "elasti.selectorLabels" . | fromYaml -}}
{{- $all := dict -}}
{{- range $more := slice . 2 -}}{{- $all = mergeOverwrite $all (deepCopy $more) -}}{{- end -}}
{{- mergeOverwrite (deepCopy $root.Values.commonLabels) $all $own $selector | toYaml -}}
{{- end -}}

{{/* The whole annotations block, or nothing: list of root, component, annotations... */}}
{{- define "elasti.annotations" -}}
{{- $root := index . 0 -}}
{{- $all := deepCopy $root.Values.commonAnnotations -}}
{{- range $more := slice . 2 -}}{{- $all = mergeOverwrite $all (deepCopy $more) -}}{{- end -}}
{{- with $all -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "elasti.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
{{- $values.serviceAccount.name | default (include "elasti.component" .) -}}
{{- end -}}

{{- define "elasti.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.image (index . 1) -}}
{{- $name := $image.repository -}}
{{- with $root.Values.image.registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default $root.Chart.AppVersion | toString) -}}
{{- end -}}
{{- end -}}

{{/* Whether a kind is asked for: list of root, value, API version and kind. */}}
{{- define "elasti.asked" -}}
{{- $root := index . 0 -}}
{{- $value := index . 1 -}}
{{- if eq (toString $value) "auto" -}}
{{- if $root.Capabilities.APIVersions.Has (index . 2) -}}yes{{- end -}}
{{- else if $value -}}yes{{- end -}}
{{- end -}}

{{/* Settings as environment variables: list of root and component. */}}
{{- define "elasti.settings" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $names := index ($root.Files.Get "files/settings.yaml" | fromYaml) $component -}}
{{- range $name, $value := (index $root.Values $component).settings }}
- name: {{ index $names $name }}
  {{- if kindIs "slice" $value }}
  value: {{ join "," $value | quote }}
  {{- else if kindIs "float64" $value }}
  value: {{ $value | int64 | quote }}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "elasti.place" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- name: NODE_NAME
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
{{- end -}}

{{/* What pods of both components have in common: list of root and component. */}}
{{- define "elasti.podSpec" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
serviceAccountName: {{ include "elasti.serviceAccount" . }}
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- $security := $values.podSecurityContext }}
  {{- if and (eq (index . 1) "operator") $root.Values.scaling.enabled $root.Values.scaling.sqlite.enabled (not (hasKey $security "fsGroup")) }}
  {{- /* the volume is to be the program's to write */}}
  {{- $security = set (deepCopy $security) "fsGroup" 65532 }}
  {{- end }}
  {{- toYaml $security | nindent 2 }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if ne $values.topologySpread "None" }}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $values.topologySpread }}
    labelSelector:
      matchLabels:
        {{- include "elasti.selectorLabels" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{/* What both containers have in common: list of root and component. */}}
{{- define "elasti.container" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
image: {{ include "elasti.image" . }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
{{- with $values.command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $values.containerSecurityContext | nindent 2 }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
readinessProbe:
  httpGet: { path: /readyz, port: internal }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /healthz, port: internal }
  initialDelaySeconds: 10
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* The environment of the policy engine. */}}
{{- define "elasti.scaling" -}}
{{- $scaling := .Values.scaling -}}
- name: ELASTI_SCALING_ENABLED
  value: "true"
- name: ELASTI_OPERATOR_REPLICAS
  value: {{ .Values.operator.replicas | int64 | quote }}
- name: ELASTI_SCALING_EVALUATION_INTERVAL
  value: {{ $scaling.evaluationInterval | quote }}
- name: ELASTI_SCALING_DEFAULT_COOLDOWN
  value: {{ $scaling.defaultCooldownSeconds | int64 | quote }}
- name: ELASTI_SCALING_DRY_RUN
  value: {{ $scaling.dryRun | quote }}
- name: ELASTI_SCALING_RETENTION
  value: {{ $scaling.retention | quote }}
- name: ELASTI_SCALING_PROMETHEUS_URL
  value: {{ $scaling.prometheusUrl | quote }}
- name: ELASTI_SCALING_AUDIENCES
  value: {{ join "," $scaling.audiences | quote }}
- name: ELASTI_SCALING_TARGET_TYPES
  value: {{ toJson $scaling.targetTypes | quote }}
- name: ELASTI_SCALING_METRICS
  value: {{ toJson $scaling.metrics | quote }}
{{- if $scaling.sqlite.enabled }}
- name: ELASTI_SCALING_SQLITE_FILE
  value: /var/lib/elasti/policies.db
{{- end }}
{{- range $name, $from := dict "DATABASE_URL" $scaling.database "ELASTI_SCALING_SQL_CONNECTIONS" $scaling.sqlConnections "ELASTI_SCALING_TOKEN" $scaling.token }}
{{- if $from.existingSecret }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: { name: {{ $from.existingSecret }}, key: {{ $from.existingSecretKey }} }
{{- end }}
{{- end }}
{{- end -}}
