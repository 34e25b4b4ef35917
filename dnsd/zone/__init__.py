"""The zone: which names exist, as a function of the cluster, and how they change.

In `zone/` (control plane: the names that exist). Change here: nothing; see the module of the noun.

`schema` makes the RRsets of one object, `zone` merges them into zones and returns a `Change`,
`compile` makes the frames for the workers, and `pipeline` connects the three. The package is pure:
it does no I/O and has no clock.
"""
