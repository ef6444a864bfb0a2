{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- define "agent.labels" -}}
app.kubernetes.io/name: openshell-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "agent.level" -}}
{{- if .Values.minIsolation }}{{ .Values.minIsolation }}
{{- else if eq .Values.profile "full" }}full
{{- else }}restricted
{{- end }}
{{- end }}

{{- define "agent.securityContext" -}}
{{- if eq .Values.profile "restricted" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
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
{{- else -}}
{{- fail (printf "profile: %s is not restricted, baseline or full" .Values.profile) -}}
{{- end }}
{{- end }}
