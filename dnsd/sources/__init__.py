"""The sources of objects: an API server, or a directory of manifests.

In `sources/` (control plane: objects of the cluster). Change here: nothing; see the packages.
"""
