{{- define "wechatbot-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The longest suffix, -leader-election, has to fit behind it. */}}
{{- define "wechatbot-operator.fullname" -}}
{{- $name := include "wechatbot-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 47 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 47 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "wechatbot-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "wechatbot-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wechatbot-operator.labels" -}}
{{ include "wechatbot-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: wechatbot
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "wechatbot-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "wechatbot-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "wechatbot-operator.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Metrics ask the API server who reads them: a right in the cluster. */}}
{{- define "wechatbot-operator.secureMetrics" -}}
{{- if and .Values.metrics.enabled .Values.metrics.secure .Values.clusterResources }}true{{ end }}
{{- end }}

{{/*
The rules of a role in files/, which hack/generate.sh copies from config/rbac. Arguments: root, file, name.
*/}}
{{- define "wechatbot-operator.rules" -}}
{{- range splitList "\n---\n" (.root.Files.Get (printf "files/%s" .file)) }}
{{- $object := fromYaml . }}
{{- if and (hasKey $object "rules") (eq $object.metadata.name $.name) }}
{{- toYaml $object.rules }}
{{- end }}
{{- end }}
{{- end }}

{{- define "wechatbot-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "wechatbot-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
