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
Values as dnsd reads them: a list may be text with commas, and a boolean may be a word. The first
template returns JSON, the second one "true" or an empty text.
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

{{/* The names of the admin Service, complete and shortened by search lists. */}}
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
The settings file: the settings that the chart needs. Keys of .Values.config replace them. The
template adds the names of the admin Service to `admin_hosts`.
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
{{- /* With a fixed clusterIP the address is known; otherwise dnsd reads it from ns_service. */ -}}
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
The port of `listen` or `admin` (a dict of `name` and `value`) that the Pod exposes: the port of the
first address that clients outside the Pod can reach.
*/}}
{{- define "dnsd.port" -}}
{{- $found := "" -}}
{{- range include "dnsd.list" .value | fromJsonArray -}}
{{- $address := regexReplaceAll "^[a-z]+://" . "" -}}
{{- if and (not $found) (not (hasPrefix "127." $address)) (not (hasPrefix "[::1]:" $address)) -}}
{{- $found = regexFind "[0-9]+$" $address -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "config.%s: clients outside the Pod cannot reach %v; set an address like 0.0.0.0:1053 for Services and probes" .name .value) -}}
{{- end -}}
{{- if lt (int $found) 1024 -}}
{{- fail (printf "config.%s: a Pod without privileges cannot bind port %s, which is below 1024; choose a port of 1024 or above, to which the Service maps 53" .name $found) -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{- define "dnsd.ports" -}}
{{- $config := include "dnsd.config" . | fromYaml -}}
{{- if has (toString $config.admin | lower) (list "off" "false") -}}
{{- fail "config.admin: the kubelet cannot probe a Pod with admin off; to restrict access, set networkPolicy.adminFrom" -}}
{{- end -}}
{{- $dns := include "dnsd.port" (dict "name" "listen" "value" $config.listen) -}}
{{- $admin := include "dnsd.port" (dict "name" "admin" "value" $config.admin) -}}
{{- dict "dns" (int $dns) "admin" (int $admin) | toJson -}}
{{- end -}}

{{/* The scheme (HTTP or HTTPS) of clients of the admin port. */}}
{{- define "dnsd.scheme" -}}
{{- $config := include "dnsd.config" . | fromYaml -}}
{{- ternary "HTTPS" "HTTP" (not (empty $config.admin_tls_cert)) -}}
{{- end -}}

{{/*
The mount path of the volume `state`. Empty without a state directory, or if another mount contains
the directory.
*/}}
{{- define "dnsd.stateMount" -}}
{{- $config := include "dnsd.config" . | fromYaml -}}
{{- $directory := trimSuffix "/" (toString $config.state_dir) -}}
{{- if and $directory (not (hasPrefix "/" $directory)) -}}
{{- fail (printf "config.state_dir: %s is not an absolute path; the chart mounts a volume there, so write an absolute path" $directory) -}}
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
"true" when the state outlives a Pod. Two Pods must then not use it at the same time, because the
serial, the history, and the snapshot in it belong to one dnsd.
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
{{- fail (printf "state: all Pods would share %s, but the directory must belong to one Pod: set replicas to 1 (hostPath is also possible with kind: daemonset), or use an emptyDir or ephemeral volume" $kept) -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{/*
The settings from which the chart makes rules, ports, and volumes. As variables they would override
the file, and the chart would not see them. A test finds them in the templates.
*/}}
{{- define "dnsd.checkEnv" -}}
{{- $read := list "admin" "admin_cluster_tokens" "admin_hosts" "admin_tls_cert" "admin_tls_key"
      "kubernetes" "listen" "manifests" "namespaces" "ns_addresses" "ns_service" "outside_names"
      "outside_zones" "pods" "policies" "search_completion" "state_dir" "zone" -}}
{{- range .Values.env -}}
{{- $name := trimPrefix "DNSD_" .name -}}
{{- if and (ne $name .name) (has (lower $name) $read) -}}
{{- fail (printf "env: the chart depends on %s and cannot see %s here; set it under config" (lower $name) .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" when dnsd connects to the API server. */}}
{{- define "dnsd.watches" -}}
{{- $config := include "dnsd.config" . | fromYaml -}}
{{- include "dnsd.true" $config.kubernetes -}}
{{- end -}}

{{/*
The namespaces in which a Role is sufficient. Empty when dnsd watches the whole cluster. With more
than 16 namespaces, dnsd watches the whole cluster and filters the objects (MAX_NAMESPACE_SCOPES in
dnsd/sources/kubernetes/; a test compares the two numbers).
*/}}
{{- define "dnsd.namespaces" -}}
{{- $named := include "dnsd.list" .Values.config.namespaces | fromJsonArray -}}
{{- ternary $named (list) (le (len $named) 16) | toJson -}}
{{- end -}}

{{/*
The permissions of dnsd: list and watch on the kinds that the enabled features need. The conditions
are those of kinds_of in dnsd/; a test compares the two.
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
The cluster-scoped permissions. `get` reads the uid of kube-system, which identifies the cluster. The
API server answers reviews and does not store them.
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
