{{- define "forwarder.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "forwarder.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "forwarder.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "forwarder.selectorLabels" -}}
app.kubernetes.io/name: {{ include "forwarder.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "forwarder.labels" -}}
{{ include "forwarder.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "forwarder.image" -}}
{{- $repository := required "Set image.repository: where you pushed the image that deploy/Dockerfile builds." .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "forwarder.secretName" -}}
{{- if and .Values.secret.existing .Values.secret.values }}
{{- fail "Set secret.existing or secret.values, and not both." }}
{{- else if .Values.secret.existing }}
{{- .Values.secret.existing }}
{{- else if .Values.secret.values }}
{{- include "forwarder.fullname" . }}
{{- else }}
{{- fail "Set secret.existing, the name of a Secret with the keys that the config names, or give them in secret.values." }}
{{- end }}
{{- end }}

{{- define "forwarder.hasDatabaseCA" -}}
{{- if and (eq .Values.mode "postgresql") (or .Values.postgresql.ca.configMap .Values.postgresql.ca.secret) }}true{{ end }}
{{- end }}

{{- define "forwarder.database" -}}
{{- if eq .Values.mode "sqlite" -}}
/var/lib/forwarder/forwarder.db
{{- else }}
{{- $server := .Values.postgresql }}
{{- if not $server.hosts }}
{{- fail "Set postgresql.hosts: the name of the PostgreSQL server, or the names of several." }}
{{- end }}
{{- if and (has $server.sslmode (list "verify-ca" "verify-full")) (not (include "forwarder.hasDatabaseCA" .)) (not (hasKey $server.parameters "sslrootcert")) }}
{{- fail (printf "postgresql.sslmode is %s: name the ConfigMap or the Secret with the authority's certificate in postgresql.ca." $server.sslmode) }}
{{- end }}
{{- $hosts := list }}
{{- range $server.hosts }}
{{- $hosts = append $hosts (printf "%s:%v" . $server.port) }}
{{- end }}
{{- $parameters := list (printf "sslmode=%s" $server.sslmode) }}
{{- if include "forwarder.hasDatabaseCA" . }}
{{- $parameters = append $parameters (printf "sslrootcert=/etc/forwarder-database/%s" $server.ca.key) }}
{{- end }}
{{- if gt (len $server.hosts) 1 }}
{{- $parameters = append $parameters "target_session_attrs=read-write" }}
{{- end }}
{{- range $name, $value := $server.parameters }}
{{- $parameters = append $parameters (printf "%s=%s" $name ($value | toString | urlquery | replace "+" "%20")) }}
{{- end -}}
postgresql://{{ $server.user | urlquery }}:${file:/run/secrets/database_password}@{{ join "," $hosts }}/{{ $server.database | urlquery }}?{{ join "&" $parameters }}
{{- end }}
{{- end }}

{{- define "forwarder.config" -}}
{{- if not .Values.config }}
{{- fail "Set config: what would be in config.yaml, without database and web.listen." }}
{{- end }}
{{- if hasKey .Values.config "database" }}
{{- fail "Leave config.database out: it follows from mode and postgresql." }}
{{- end }}
{{- $config := deepCopy .Values.config }}
{{- $web := default dict $config.web }}
{{- if hasKey $web "listen" }}
{{- fail "Leave config.web.listen out: the page listens where the service and the probes ask for it." }}
{{- end }}
{{- $name := include "forwarder.fullname" . }}
{{- $hosts := concat (default list $web.public_hosts) (list $name (printf "%s.%s.svc" $name .Release.Namespace)) }}
{{- if .Values.ingress.enabled }}
{{- $hosts = append $hosts (required "Set ingress.host: the name by which people reach the page." .Values.ingress.host) }}
{{- if and .Values.ingress.tlsSecret (not (hasKey $web "public_url")) }}
{{- $web = set $web "public_url" (printf "https://%s%s" .Values.ingress.host (default "" $web.base_path)) }}
{{- end }}
{{- end }}
{{- $web = set $web "listen" "0.0.0.0:8585" }}
{{- $web = set $web "public_hosts" (uniq $hosts) }}
{{- if not (hasKey $web "token") }}
{{- $web = set $web "token" "${file:/run/secrets/web_token}" }}
{{- end }}
{{- $config = set $config "web" $web }}
{{- $config = set $config "database" (include "forwarder.database" .) }}
{{- toYaml $config }}
{{- end }}

{{- /* Everything of a pod that is the same for the daemon and for the test. */ -}}
{{- define "forwarder.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "forwarder.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end }}

{{- define "forwarder.inputMounts" -}}
- name: config
  mountPath: /etc/forwarder
  readOnly: true
- name: secrets
  mountPath: /run/secrets
  readOnly: true
{{- if include "forwarder.hasDatabaseCA" . }}
- name: database-ca
  mountPath: /etc/forwarder-database
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "forwarder.inputVolumes" -}}
- name: config
  configMap:
    name: {{ include "forwarder.fullname" . }}
- name: secrets
  secret:
    secretName: {{ include "forwarder.secretName" . }}
    defaultMode: 0440
{{- if include "forwarder.hasDatabaseCA" . }}
- name: database-ca
  {{- if .Values.postgresql.ca.configMap }}
  configMap:
    name: {{ .Values.postgresql.ca.configMap }}
  {{- else }}
  secret:
    secretName: {{ .Values.postgresql.ca.secret }}
    # The certificate alone: the same Secret often holds the authority's key, which is nothing for here.
    items:
      - key: {{ .Values.postgresql.ca.key }}
        path: {{ .Values.postgresql.ca.key }}
  {{- end }}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end }}
