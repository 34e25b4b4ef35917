"""The manifests source: a directory of Kubernetes YAML or JSON, followed live."""
