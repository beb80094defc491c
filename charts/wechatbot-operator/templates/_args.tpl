{{/* The operator's flags (cmd/manager). */}}
{{- define "wechatbot-operator.args" -}}
{{- if .Values.leaderElection.enabled }}
- --leader-elect
{{- end }}
- --server-image={{ default (include "wechatbot-operator.image" .) .Values.serverImage }}
{{- with .Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- with .Values.redisImage }}
- --redis-image={{ . }}
{{- end }}
{{- with .Values.defaultIngressClass }}
- --default-ingress-class={{ . }}
{{- end }}
{{- with .Values.defaultIssuer }}
- --default-issuer={{ . }}
{{- end }}
{{- if not .Values.probeDify }}
- --probe-dify=false
{{- end }}
{{- if not .Values.pollServers }}
- --poll-servers=false
{{- end }}
- --concurrency={{ .Values.concurrency }}
- --rollout-concurrency={{ .Values.rolloutConcurrency }}
- --log-level={{ .Values.log.level }}
- --log-format={{ .Values.log.format }}
{{- if .Values.metrics.enabled }}
- --metrics-bind-address=:{{ .Values.metrics.port }}
{{- if not (include "wechatbot-operator.secureMetrics" .) }}
- --metrics-secure=false
{{- end }}
{{- if .Values.metrics.certificateSecret }}
- --metrics-cert-dir=/metrics-certificate
{{- end }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}
