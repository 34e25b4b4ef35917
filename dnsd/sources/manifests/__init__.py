"""The source that follows a directory of Kubernetes manifests in YAML or JSON.

In `sources/manifests/` (control plane: objects from files). Change here: nothing; see below.

`source` connects a `filewatch`, which names changed files, and a `directory`, which reads them.
`file` turns octets into a `manifest` for each object, with the help of `yaml`. `registry` combines
the manifests of all files, with `allocate` and `nodeports` for what they leave open. `problems`
holds what is wrong.
"""
