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

{{/*
Values as dnsd reads them: a list may be written as text with commas, a boolean as a word.
The first is JSON, the second "true" or nothing.
*/}}
{{- define "dnsd.list" -}}
{{- $items := list -}}
{{- if kindIs "slice" . -}}
{{- $items = . -}}
{{- else if . -}}
{{- $items = splitList "," (toString .) -}}
{{- end -}}
{{- $out := list -}}
{{- range $items -}}
{{- $out = append $out (toString . | trim) -}}
{{- end -}}
{{- without $out "" | uniq | toJson -}}
{{- end -}}

{{- define "dnsd.true" -}}
{{- if has (toString . | trim | lower) (list "true" "yes" "on" "1") -}}true{{- end -}}
{{- end -}}

{{- define "dnsd.zones" -}}
{{- include "dnsd.list" (default "cluster.local" .Values.config.zone) -}}
{{- end -}}

{{/* The names under which Pods reach the admin Service, whatever they leave to search lists. */}}
{{- define "dnsd.adminNames" -}}
{{- $name := printf "%s-admin" (include "dnsd.fullname" .) -}}
{{- $inside := printf "%s.%s" $name .Release.Namespace -}}
{{- $names := list $name $inside (printf "%s.svc" $inside) -}}
{{- range include "dnsd.zones" . | fromJsonArray -}}
{{- $names = append $names (printf "%s.svc.%s" $inside .) -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{- define "dnsd.tlsPath" -}}/etc/dnsd-admin-tls{{- end -}}

{{/*
The settings file: what the chart needs, replaced by .Values.config key by key; to
`admin_hosts` the names of the admin Service are added.
*/}}
{{- define "dnsd.config" -}}
{{- $config := .Values.config -}}
{{- $all := dict
      "listen" (list "0.0.0.0:1053")
      "admin" "0.0.0.0:8053"
      "state_dir" "/var/lib/dnsd"
      "log_format" "json" -}}
{{- if not $config.manifests -}}
{{- $_ := set $all "kubernetes" true -}}
{{- $_ := set $all "ns_service" (printf "%s/%s" .Release.Namespace (include "dnsd.fullname" .)) -}}
{{- end -}}
{{- /* The only address of the Service, known beforehand; ns_service finds what it is given. */ -}}
{{- $fixed := and .Values.service.clusterIP (ne .Values.service.clusterIP "None") -}}
{{- if and $fixed (eq .Values.service.ipFamilyPolicy "SingleStack") -}}
{{- $_ := set $all "ns_addresses" (list .Values.service.clusterIP) -}}
{{- end -}}
{{- if .Values.adminService.tlsSecret -}}
{{- $_ := set $all "admin_tls_cert" (printf "%s/tls.crt" (include "dnsd.tlsPath" .)) -}}
{{- $_ := set $all "admin_tls_key" (printf "%s/tls.key" (include "dnsd.tlsPath" .)) -}}
{{- end -}}
{{- range $name, $value := $config -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $all $name $value -}}
{{- end -}}
{{- end -}}
{{- if .Values.adminService.enabled -}}
{{- $asked := include "dnsd.list" $config.admin_hosts | fromJsonArray -}}
{{- $names := concat $asked (include "dnsd.adminNames" . | fromJsonArray) -}}
{{- $_ := set $all "admin_hosts" (uniq $names) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/*
The port of `listen` or `admin` (a dict of `name` and `value`) that the Pod offers: that of
the first address that can be reached from outside of it.
*/}}
{{- define "dnsd.port" -}}
{{- $found := "" -}}
{{- range include "dnsd.list" .value | fromJsonArray -}}
{{- if and (not $found) (not (hasPrefix "127." .)) (not (hasPrefix "[::1]:" .)) -}}
{{- $found = regexFind "[0-9]+$" . -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "config.%s: %v cannot be reached from outside the Pod; Services and probes need an address like 0.0.0.0:1053" .name .value) -}}
{{- end -}}
{{- if lt (int $found) 1024 -}}
{{- fail (printf "config.%s: a Pod without privilege cannot take port %s, which is below 1024; the Service maps 53 to whatever it is" .name $found) -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{- define "dnsd.ports" -}}
{{- $config := include "dnsd.config" . | fromYaml -}}
{{- if has (toString $config.admin | lower) (list "off" "false") -}}
{{- fail "config.admin: off leaves the kubelet nothing to probe; networkPolicy.adminFrom keeps others out" -}}
{{- end -}}
{{- $dns := include "dnsd.port" (dict "name" "listen" "value" $config.listen) -}}
{{- $admin := include "dnsd.port" (dict "name" "admin" "value" $config.admin) -}}
{{- dict "dns" (int $dns) "admin" (int $admin) | toJson -}}
{{- end -}}

{{/* What asks the admin port speaks as it does. */}}
{{- define "dnsd.scheme" -}}
{{- $config := include "dnsd.config" . | fromYaml -}}
{{- ternary "HTTPS" "HTTP" (not (empty $config.admin_tls_cert)) -}}
{{- end -}}

{{/*
Where the volume `state` is mounted; nothing when there is no state directory, or when it lies
in what is mounted anyway.
*/}}
{{- define "dnsd.stateMount" -}}
{{- $config := include "dnsd.config" . | fromYaml -}}
{{- $directory := trimSuffix "/" (toString $config.state_dir) -}}
{{- if and $directory (not (hasPrefix "/" $directory)) -}}
{{- fail (printf "config.state_dir: %s must be an absolute path; a volume is mounted there" $directory) -}}
{{- end -}}
{{- $mounted := list "/tmp" -}}
{{- range .Values.extraVolumeMounts -}}
{{- $mounted = append $mounted (trimSuffix "/" .mountPath) -}}
{{- end -}}
{{- range $mounted -}}
{{- if or (eq $directory .) (hasPrefix (printf "%s/" .) $directory) -}}
{{- $directory = "" -}}
{{- end -}}
{{- end -}}
{{- $directory -}}
{{- end -}}

{{/*
"true" when the state outlives a Pod: no two Pods may then run beside each other on it, for
the serial, the history and the snapshot in it are one dnsd's.
*/}}
{{- define "dnsd.stateIsKept" -}}
{{- $own := list "emptyDir" "ephemeral" "csi" -}}
{{- $kept := "" -}}
{{- range $kind, $_ := .Values.state -}}
{{- if not (has $kind $own) -}}{{- $kept = $kind -}}{{- end -}}
{{- end -}}
{{- if $kept -}}
{{- $daemon := eq .Values.kind "daemonset" -}}
{{- if ternary (ne $kept "hostPath") (gt (int .Values.replicas) 1) $daemon -}}
{{- fail (printf "state: %s would be one directory for all Pods, and it can be one Pod's only: set replicas to 1 (hostPath is also possible with kind: daemonset), or take an emptyDir or ephemeral volume" $kept) -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{/*
The settings that the chart itself reads, to make rules, ports and volumes of them. As
variables they would beat the file and be overlooked here. A test finds them in the templates.
*/}}
{{- define "dnsd.checkEnv" -}}
{{- $read := list "admin" "admin_cluster_tokens" "admin_hosts" "admin_tls_cert" "admin_tls_key"
      "kubernetes" "listen" "manifests" "namespaces" "ns_addresses" "ns_service" "outside_names"
      "outside_zones" "pods" "policies" "search_completion" "state_dir" "zone" -}}
{{- range .Values.env -}}
{{- $name := trimPrefix "DNSD_" .name -}}
{{- if and (ne $name .name) (has (lower $name) $read) -}}
{{- fail (printf "env: the chart follows %s, and would not see %s; set it under config" (lower $name) .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" when dnsd asks the API server. */}}
{{- define "dnsd.watches" -}}
{{- $config := include "dnsd.config" . | fromYaml -}}
{{- include "dnsd.true" $config.kubernetes -}}
{{- end -}}

{{/*
The namespaces in which a Role is enough; none when dnsd watches the whole cluster. Of more
than 16 it does, and leaves out the others itself (MAX_NAMESPACE_SCOPES in
dnsd/cluster/kubernetes.py; a test holds the two together).
*/}}
{{- define "dnsd.namespaces" -}}
{{- $named := include "dnsd.list" .Values.config.namespaces | fromJsonArray -}}
{{- ternary $named (list) (le (len $named) 16) | toJson -}}
{{- end -}}

{{/*
What dnsd may read: list and watch on what the enabled features need, nothing else. The
conditions are those of kinds_of in dnsd/kubelink.py; a test holds the two together.
*/}}
{{- define "dnsd.rules" -}}
{{- $config := .Values.config -}}
{{- $outside := list -}}
{{- if $config.outside_zones -}}
{{- $outside = include "dnsd.list" $config.outside_names | fromJsonArray -}}
{{- end -}}
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- if or (eq (default "disabled" $config.pods) "verified") $config.policies (include "dnsd.true" $config.search_completion) }}
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
{{- if include "dnsd.true" .Values.config.admin_cluster_tokens }}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}
{{- end -}}
