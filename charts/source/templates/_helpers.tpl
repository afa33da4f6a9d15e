{{/* The image of one part. Arguments: values of `image`, those of the part, the chart. */}}
{{- define "osfaas.image" -}}
{{- $all := index . 0 -}}
{{- $own := index . 1 | default dict -}}
{{- $repository := $own.repository | default $all.repository -}}
{{- /* A tag of the part's own must not lose against everybody's digest. */ -}}
{{- $named := ternary $own $all (or $own.tag $own.digest | not | not) -}}
{{- if $named.digest -}}
{{- printf "%s@%s" $repository $named.digest -}}
{{- else -}}
{{- /* A tag cannot have the plus sign of a changed checkout. */ -}}
{{- printf "%s:%s" $repository ($named.tag | default (replace "+" "-" (index . 2).AppVersion)) -}}
{{- end -}}
{{- end -}}

{{/* Peers of a NetworkPolicy, as JSON. Argument: a value with `cidrs` and perhaps `except`. */}}
{{- define "osfaas.blocks" -}}
{{- $except := .except -}}
{{- $blocks := list -}}
{{- range .cidrs -}}
{{- $block := dict "cidr" . -}}
{{- with $except -}}{{- $_ := set $block "except" . -}}{{- end -}}
{{- $blocks = append $blocks (dict "ipBlock" $block) -}}
{{- end -}}
{{- toJson $blocks -}}
{{- end -}}

{{/* Ports of a NetworkPolicy, as JSON. Argument: a value with `ports`. */}}
{{- define "osfaas.ports" -}}
{{- $ports := list -}}
{{- range .ports -}}
{{- $ports = append $ports (dict "protocol" "TCP" "port" (int .)) -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{/* Data of the ConfigMap osfaas-gateway, as JSON. */}}
{{- define "osfaas.settings" -}}
{{- $settings := include "osfaas.baseSettings" . | fromJson -}}
{{- $_ := set $settings "OSFAAS_PUBLIC_URL" .Values.publicUrl -}}
{{- with .Values.regionName -}}{{- $_ := set $settings "OSFAAS_REGION_NAME" . -}}{{- end -}}
{{- if not .Values.scheduler.enabled -}}{{- $_ := unset $settings "OSFAAS_TRIGGER_REPORT_URL" -}}{{- end -}}
{{- with .Values.policy -}}{{- $_ := set $settings "OSFAAS_POLICY_FILE" "/etc/osfaas/policy/policy.yaml" -}}{{- end -}}
{{- range $name, $value := .Values.settings -}}{{- $_ := set $settings $name $value -}}{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* Data of the ConfigMap osfaas-platform, as JSON. */}}
{{- define "osfaas.platform" -}}
{{- dict "platform.yaml" .Values.platform | toJson -}}
{{- end -}}
