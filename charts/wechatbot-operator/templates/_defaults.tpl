{{/*
Gives values that are null, which Helm drops with their defaults, the chart's defaults: every template begins with it. What
goes into a pod as it is (resources and security contexts) stays away: null is how Helm removes such a default.
*/}}
{{- define "wechatbot-operator.defaults" -}}
{{- include "wechatbot-operator.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) }}
{{- end }}

{{/* Arguments: values, their defaults. */}}
{{- define "wechatbot-operator.fill" -}}
{{- $values := index . 0 }}
{{- range $name, $default := index . 1 }}
{{- if has $name (list "resources" "podSecurityContext" "securityContext") }}
{{- else if kindIs "invalid" (index $values $name) }}
{{- $_ := set $values $name $default }}
{{- else if and (kindIs "map" $default) (kindIs "map" (index $values $name)) }}
{{- include "wechatbot-operator.fill" (list (index $values $name) $default) }}
{{- end }}
{{- end }}
{{- end }}
