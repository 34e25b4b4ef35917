"""The state of the cluster: objects stripped to the fields that DNS needs, and their indexes.

In `cluster/` (control plane: between the sources and the zone). Change here: nothing; see `State`
in `state.py` and the kinds in `objects/`.
"""
