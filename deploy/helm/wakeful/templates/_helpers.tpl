{{- define "wakeful.name" -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "wakeful.selector" -}}
app.kubernetes.io/name: wakeful
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wakeful.labels" -}}
{{ include "wakeful.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* The brokers, comma-separated; empty without Kafka. */}}
{{- define "wakeful.brokers" -}}
{{- $servers := dig "kafka" "bootstrap_servers" "" .Values.config | default "" -}}
{{- kindIs "string" $servers | ternary $servers (join "," $servers) -}}
{{- end }}

{{- define "wakeful.group" -}}
{{ dig "kafka" "group_id" "wakeful" .Values.config }}
{{- end }}

{{- /* Topics by what is done with them, as JSON: read, written, memory. For a pattern (^…) nobody can
make topics, nor name the right to read them: grant Read by prefix. */}}
{{- define "wakeful.topics" -}}
{{- $kafka := .Values.config.kafka | default dict -}}
{{- $detectors := .Values.config.detectors | default (dict "default" dict) -}}
{{- $read := list -}}
{{- $memory := list -}}
{{- range $name, $detector := $detectors -}}
{{- $topics := ($detector | default dict).topics | default $kafka.topics | default (list "events") -}}
{{- range $topics -}}{{- if not (hasPrefix "^" .) -}}{{- $read = append $read . -}}{{- end -}}{{- end -}}
{{- $memory = append $memory ($kafka.memory_topic | default (printf "wakeful.%s.memory" $name)) -}}
{{- end -}}
{{- $written := list
      ($kafka.anomalies_topic | default "wakeful.anomalies")
      ($kafka.episodes_topic | default "wakeful.episodes")
      ($kafka.dead_letters_topic | default "wakeful.dead-letters") -}}
{{- dict "read" (uniq $read) "written" (uniq $written) "memory" (uniq $memory) | toJson -}}
{{- end }}
