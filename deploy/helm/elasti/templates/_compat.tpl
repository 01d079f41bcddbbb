{{/*
Takes the values of KubeElasti's chart that mean the same here, each for the value of ours. What is given under its name counts
more than what is given under ours. Called by every template, since each may come first.
*/}}
{{- define "elasti.compat" -}}
{{- $global := .Values.global | default dict -}}
{{- $new := dict "operator" dict "resolver" dict "image" dict "prometheus" dict -}}
{{- with $global.kubernetesClusterDomain }}{{- $_ := set $new "clusterDomain" . }}{{- end -}}
{{- with $global.nameOverride }}{{- $_ := set $new "nameOverride" . }}{{- end -}}
{{- with $global.fullnameOverride }}{{- $_ := set $new "fullnameOverride" . }}{{- end -}}
{{- with $global.labels }}{{- $_ := set $new "commonLabels" . }}{{- end -}}
{{- with $global.annotations }}{{- $_ := set $new "commonAnnotations" . }}{{- end -}}
{{- with $global.imagePullSecrets }}{{- $_ := set $new.image "pullSecrets" . }}{{- end -}}
{{- if $global.enableMonitoring }}{{- $_ := set $new "monitoring" (dict "podMonitor" (dict "enabled" true)) }}{{- end -}}
{{- $theirs := dict "operator" (.Values.elastiController | default dict) "resolver" (.Values.elastiResolver | default dict) -}}
{{- range $name, $from := $theirs -}}
{{- $to := index $new $name -}}
{{- if hasKey $from "replicas" }}{{- $_ := set $to "replicas" $from.replicas }}{{- end -}}
{{- range $key := list "labels" "annotations" "podLabels" "podAnnotations" "serviceLabels" "serviceAnnotations" -}}
{{- $theirKey := get (dict "labels" "deploymentLabels" "annotations" "deploymentAnnotations") $key | default $key -}}
{{- $both := merge (dict) (get $from $theirKey | default dict) (get $global $theirKey | default dict) -}}
{{- if hasPrefix "service" $key }}{{- $both = merge (dict) (get ($from.service | default dict) (trimPrefix "service" $key | lower) | default dict) (get $global $key | default dict) }}{{- end -}}
{{- $common := dict "labels" "commonLabels" "annotations" "commonAnnotations" "podLabels" "commonLabels" "podAnnotations" "commonAnnotations" "serviceLabels" "commonLabels" "serviceAnnotations" "commonAnnotations" -}}
{{- $both = merge $both (get $from (get $common $key) | default dict) -}}
{{- if $both }}{{- $_ := set $to $key $both }}{{- end -}}
{{- end -}}
{{- range $key := list "labels" "annotations" -}}
{{- $both := merge (dict) (get ($from.serviceAccount | default dict) $key | default dict) (get ($global.serviceAccount | default dict) $key | default dict) -}}
{{- if $both }}{{- $_ := set $to "serviceAccount" (mergeOverwrite ($to.serviceAccount | default dict) (dict $key $both)) }}{{- end -}}
{{- end -}}
{{- with (get ($from.serviceMonitor | default dict) "labels") }}{{- $_ := set $new "monitoring" (mergeOverwrite ($new.monitoring | default dict) (dict "podMonitor" (dict "labels" .))) }}{{- end -}}
{{- $program := $from.manager | default $from.proxy | default dict -}}
{{- range $key := list "podSecurityContext" "containerSecurityContext" -}}
{{- with (get $program $key) }}{{- $_ := set $to $key . }}{{- end -}}
{{- end -}}
{{- with $program.imagePullPolicy }}{{- $_ := set $new.image "pullPolicy" . }}{{- end -}}
{{- end -}}
{{- $env := ($theirs.operator.manager | default dict).env | default dict -}}
{{- with $env.pollingInterval }}{{- $_ := set $new.operator "settings" (dict "pollingInterval" (ternary (printf "%vs" .) (toString .) (regexMatch "^[0-9.]+$" (toString .)))) }}{{- end -}}
{{- with $env.prometheusTriggerServerAddress }}{{- $_ := set $new.prometheus "serverAddress" . }}{{- end -}}
{{- with $env.prometheusTriggerAuthorizationHeader }}{{- $_ := set $new.prometheus "authorizationHeader" . }}{{- end -}}
{{- with $theirs.resolver.autoscaling }}{{- $_ := set $new.resolver "autoscaling" (pick . "enabled" "minReplicas" "maxReplicas" "targetCPUUtilizationPercentage") }}{{- end -}}
{{- $_ := mergeOverwrite .Values $new -}}
{{- end -}}

{{/* Values of KubeElasti's chart that were given and mean nothing here, for the notes. */}}
{{- define "elasti.ignored" -}}
{{- $ignored := list -}}
{{- $controller := .Values.elastiController | default dict -}}
{{- $resolver := .Values.elastiResolver | default dict -}}
{{- range $key := list "args" "image" "resources" "sentry" -}}
{{- if hasKey ($controller.manager | default dict) $key }}{{- $ignored = append $ignored (printf "elastiController.manager.%s" $key) }}{{- end -}}
{{- end -}}
{{- if $controller.metricsService }}{{- $ignored = append $ignored "elastiController.metricsService" }}{{- end -}}
{{- range $key := list "env" "image" "resources" "sentry" -}}
{{- if hasKey ($resolver.proxy | default dict) $key }}{{- $ignored = append $ignored (printf "elastiResolver.proxy.%s" $key) }}{{- end -}}
{{- end -}}
{{- if $resolver.reverseProxyService }}{{- $ignored = append $ignored "elastiResolver.reverseProxyService" }}{{- end -}}
{{- range $key := list "image" "secretName" -}}
{{- if hasKey ($.Values.global | default dict) $key }}{{- $ignored = append $ignored (printf "global.%s" $key) }}{{- end -}}
{{- end -}}
{{- if .Values.telemetry }}{{- $ignored = append $ignored "telemetry" }}{{- end -}}
{{- join ", " $ignored -}}
{{- end -}}
