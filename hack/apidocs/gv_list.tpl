{{- define "gvList" -}}
<!-- Written by hack/generate.sh from the comments in api/v1alpha1. Do not edit. -->

# The WechatBot API

{{ range . -}}
Everything that a `WechatBot` (`{{ .GroupVersionString }}`) can hold; `kubectl explain wechatbot.spec` prints the same.
The least that makes a bot is in [config/samples/minimal.yaml](../config/samples/minimal.yaml), every field in
[config/samples/full.yaml](../config/samples/full.yaml). An object that breaks a bound or a rule is refused by the API
server, with a message that names the field and says what to do.
{{ $first := list "WechatBot" "WechatBotSpec" "WechatBotStatus" -}}
{{ $types := .Types -}}
{{ range $first }}{{ template "section" (index $types .) }}{{ end -}}
{{ range .SortedTypes }}{{ if not (has .Name $first) }}{{ template "section" . }}{{ end }}{{ end -}}
{{ end -}}
{{ end -}}

{{- define "section" -}}
{{- if .Members }}
## {{ .Name }}

{{ .Doc }}

| field | type | meaning |
|---|---|---|
{{ range .Members -}}
| `{{ .Name }}` | {{ template "fieldType" .Type }} | {{ if eq .Name "metadata" }}Name, namespace, labels and so on of any object.{{ else }}{{ markdownRenderFieldDoc (regexReplaceAll "\n *([^- ])" .Doc " ${1}") }}{{ end }} |
{{ end -}}
{{ end -}}
{{- end -}}

{{- define "fieldType" -}}
{{- if and .IsAlias .UnderlyingType -}}
{{ .UnderlyingType.Name }}
{{- else if eq .Name "Duration" -}}
duration
{{- else -}}
{{ regexReplaceAll "\\[(InputValue|ReplyText|VerificationFile|RedisAddress|ContinueWord|HandoverWord|Word)\\]\\([^)]*\\)" (markdownRenderType .) "string" | replace "[PodField](#podfield)" "object" | replace "object (keys:string, values:string)" "map of strings" | replace "string array" "list of strings" }}
{{- end -}}
{{- end -}}
