"""The API server as a source of objects: lists and watches.

In `sources/kubernetes/` (control plane: between the API server and the cluster state). Change here:
nothing; see `KubernetesSource` in `source.py`. Only `package.py` imports the official client.
"""
