"""Observation of a running dnsd: history, metrics, logs, samples, and top lists.

In `observe/` (control plane). Change here: what dnsd records about itself.

Nothing here is on the path of a query. Workers count in plain integers and send samples; the
control process turns them into what these modules show.
"""
