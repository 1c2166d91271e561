{{/*
Names are not values. There is one webhook in a cluster: a second release would ask the same question twice, and Helm
refuses it because these objects belong to the first.
*/}}

{{- define "ensure-volumes.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" "ensure-volumes"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version) -}}
{{- merge $own .Values.labels | toYaml -}}
{{- end -}}

{{/* The metadata of an object: list $ NAME NAMESPACED [its own annotations]. */}}
{{- define "ensure-volumes.metadata" -}}
{{- $ := index . 0 -}}
{{- $annotations := dict -}}
{{- if gt (len .) 3 }}{{ $annotations = index . 3 }}{{ end -}}
metadata:
  name: {{ index . 1 }}
  {{- if index . 2 }}
  namespace: {{ quote $.Release.Namespace }}
  {{- end }}
  labels:
    {{- include "ensure-volumes.labels" $ | nindent 4 }}
  {{- with merge $annotations $.Values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "ensure-volumes.image" -}}
{{- .Values.image.repository -}}
{{- if or .Values.image.tag (not .Values.image.digest) }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* --owner-kinds: Kind.group/resource, comma separated. */}}
{{- define "ensure-volumes.ownerKinds" -}}
{{- $kinds := list -}}
{{- range .Values.ownerKinds -}}
{{- $kinds = append $kinds (printf "%s.%s/%s" .kind .group .resource) -}}
{{- end -}}
{{- join "," $kinds -}}
{{- end -}}

{{/* What the restricted Pod Security level asks of a container, and a read-only root file system beside it. */}}
{{- define "ensure-volumes.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
