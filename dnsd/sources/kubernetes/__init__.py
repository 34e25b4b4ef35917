"""The Kubernetes source: lists and watches. The only package that imports the client."""
