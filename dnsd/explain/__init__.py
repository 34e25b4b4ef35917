"""Explanations of answers, and plans for manifests.

In `explain/` (control plane: pure). Change here: why a name has its answer.

`admin/` calls these functions with the zone of a running dnsd; `commands/` calls them with a zone
that it builds from manifests. They read a `Pipeline`, and change nothing in it.
"""
