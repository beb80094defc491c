{{/* One release is one bot: it is called as the release. */}}
{{- define "wechatbot.name" -}}
{{- default .Release.Name .Values.fullnameOverride }}
{{- end }}

{{/* Not the labels of what the operator makes for the bot, which its selectors use. */}}
{{- define "wechatbot.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: wechatbot
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "wechatbot.secretRef" -}}
name: {{ default (include "wechatbot.name" .root) .root.Values.existingSecret }}
key: {{ .key }}
{{- end }}

{{/* The spec as given, with references to the Secret where it gives none. */}}
{{- define "wechatbot.spec" -}}
{{- $ref := dict }}
{{- range list "token" "dify-key" "aes-key" "app-secret" "redis-password" }}
{{- $_ := set $ref . (include "wechatbot.secretRef" (dict "root" $ "key" .) | fromYaml) }}
{{- end }}
{{- $spec := dict "tokenSecretRef" (get $ref "token") "dify" (dict "apiKeySecretRef" (get $ref "dify-key")) }}
{{- $wechat := dict }}
{{- if .Values.secret.encodingAESKey }}
{{- $_ := set $wechat "encodingAESKeySecretRef" (get $ref "aes-key") }}
{{- end }}
{{- if .Values.secret.appSecret }}
{{- $_ := set $wechat "appSecretRef" (get $ref "app-secret") }}
{{- end }}
{{- if $wechat }}
{{- $_ := set $spec "wechat" $wechat }}
{{- end }}
{{- if .Values.secret.redisPassword }}
{{- $_ := set $spec "session" (dict "redis" (dict "external" (dict "passwordSecretRef" (get $ref "redis-password")))) }}
{{- end }}
{{- mergeOverwrite $spec (deepCopy .Values.spec) | toYaml }}
{{- end }}
