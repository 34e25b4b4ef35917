"""Which names exist: pure functions from objects to RRsets, and the zone that holds them."""
