"""The state of the cluster: objects stripped to the fields that DNS needs."""
