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
What dnsd may read: list and watch on what the enabled features need, nothing else. The
conditions are those of kinds_of in dnsd/kubelink.py; a test holds the two together.
*/}}
{{- define "dnsd.rules" -}}
{{- $config := .Values.config -}}
{{- $outside := ternary (default (list) $config.outside_names) (list) (not (empty $config.outside_zones)) -}}
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- if or (eq (default "disabled" $config.pods) "verified") $config.policies $config.search_completion }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
{{- if has "ingresses" $outside }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
{{- end }}
{{- if has "routes" $outside }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, httproutes, grpcroutes, tlsroutes]
  verbs: [list, watch]
{{- end }}
{{- if has "dnsendpoints" $outside }}
- apiGroups: [externaldns.k8s.io]
  resources: [dnsendpoints]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{/*
What is not in any namespace. `get`: the uid of kube-system tells clusters apart. Reviews are
created to be answered, and not stored.
*/}}
{{- define "dnsd.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- if .Values.config.outside_zones }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}
{{- if .Values.config.admin_cluster_tokens }}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}
{{- end -}}
