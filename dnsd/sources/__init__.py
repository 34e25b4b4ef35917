"""The sources of objects: an API server or a directory of manifests."""
