{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- /* What selects pods: it can never change for a release. */ -}}
{{- define "agent.selector" -}}
app.kubernetes.io/name: openshell-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: sandbox-agent
app.kubernetes.io/part-of: openshell
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The program: copied into the workload's image, or that of the image with the BoxLite client. */ -}}
{{- define "agent.program" -}}
{{- if eq .Values.runtime "boxlite" }}/usr/bin/openshell-agent{{ else }}/openshell/openshell-agent{{ end }}
{{- end }}

{{- define "agent.level" -}}
{{- if .Values.minIsolation }}{{ .Values.minIsolation }}
{{- else if eq .Values.runtime "boxlite" }}vm
{{- else if eq .Values.profile "full" }}full
{{- else }}restricted
{{- end }}
{{- end }}

{{- define "agent.config" -}}
listen: ["unix:/run/openshell-agent/agent.sock", "0.0.0.0:{{ .Values.service.port }}"]
health_listen: ["0.0.0.0:{{ .Values.healthPort }}"]
{{- if .Values.metrics.port }}
metrics_listen: "0.0.0.0:{{ .Values.metrics.port }}"
{{- end }}
tls_cert: /run/secrets/openshell-agent/tls/tls.crt
tls_key: /run/secrets/openshell-agent/tls/tls.key
{{- if .Values.tls.clientCA }}
tls_client_ca: /run/secrets/openshell-agent/tls/ca.crt
{{- end }}
token_file: /run/secrets/openshell-agent/token/token
{{- if .Values.viewerToken }}
viewer_token_file: /run/secrets/openshell-agent/token/viewer-token
{{- end }}
state_dir: /run/openshell-agent
runtime: {{ .Values.runtime }}
min_isolation: {{ include "agent.level" . }}
drain_timeout: {{ .Values.drainSeconds }}s
log_format: json
log_level: {{ .Values.logLevel }}
{{- if .Values.policy }}
policy: /run/secrets/openshell-agent/config/policy.yaml
{{- end }}
{{- if eq .Values.runtime "boxlite" }}
boxlite_url: {{ .Values.boxlite.url }}
{{- if .Values.boxlite.keySecret }}
boxlite_key_file: /run/secrets/openshell-agent/boxlite/key
{{- end }}
{{- end }}
{{- end }}

{{- define "agent.securityContext.restricted" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "agent.securityContext" -}}
{{- if or (eq .Values.profile "restricted") (eq .Values.runtime "boxlite") -}}
{{ include "agent.securityContext.restricted" . }}
{{- else if eq .Values.profile "baseline" -}}
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  add: [SETUID, SETGID, SETPCAP, KILL, CHOWN, FOWNER, DAC_OVERRIDE]
seccompProfile: { type: RuntimeDefault }
{{- else if eq .Values.profile "full" -}}
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  add: [SYS_ADMIN, NET_ADMIN, SETUID, SETGID, SETPCAP, KILL, CHOWN, FOWNER, DAC_OVERRIDE, SYS_PTRACE, SYS_RESOURCE]
# The usual profiles of container runtimes refuse the mounts of sandboxes; the agent brings its own filter.
seccompProfile: { type: Unconfined }
{{- if .Values.appArmorUnconfined }}
# So does their usual AppArmor profile.
appArmorProfile: { type: Unconfined }
{{- end }}
{{- else -}}
{{- fail (printf "profile: %s is not restricted, baseline or full" .Values.profile) -}}
{{- end }}
{{- end }}
