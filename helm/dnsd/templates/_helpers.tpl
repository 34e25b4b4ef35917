{{- define "dnsd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "dnsd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "dnsd.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "dnsd.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "dnsd.selector" -}}
app.kubernetes.io/name: {{ include "dnsd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dnsd.labels" -}}
{{ include "dnsd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dnsd.serviceAccount" -}}
{{- default (ternary (include "dnsd.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "dnsd.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* The settings file: what the chart needs, overlaid with .Values.config. */}}
{{- define "dnsd.config" -}}
{{- $own := dict
      "kubernetes" true
      "listen" (list "0.0.0.0:1053")
      "admin" "0.0.0.0:8053"
      "state_dir" "/var/lib/dnsd"
      "log_format" "json" -}}
{{- $asked := omit .Values.config "kubernetes" -}}
{{- if .Values.config.manifests -}}
{{- $own = omit $own "kubernetes" -}}
{{- else if hasKey .Values.config "kubernetes" -}}
{{- $_ := set $own "kubernetes" .Values.config.kubernetes -}}
{{- end -}}
{{- mergeOverwrite $own $asked | toYaml -}}
{{- end -}}

{{/*
What dnsd may read: get, list and watch on what the enabled features need, nothing else.
The kinds are those of dnsd.kubelink.kubernetes_config.
*/}}
{{- define "dnsd.rules" -}}
- apiGroups: [""]
  resources:
    - services
    {{- if eq (default "disabled" .Values.config.pods) "verified" }}
    - pods
    {{- end }}
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end -}}

{{/* What is not in any namespace. `get`: the uid of kube-system tells clusters apart. */}}
{{- define "dnsd.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end -}}
