"""Which names exist: RRsets, the Kubernetes DNS schema, the zone and its Changes. Pure: no I/O, no clock."""
