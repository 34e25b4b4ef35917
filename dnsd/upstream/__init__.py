"""External names: forwarding to upstream servers, their cache, and names that never leave.

In `upstream/` (data plane: external names). Change here: nothing; see the module of the noun.

The engine defers a query for an external name; `forwarder` gives it to the `resolver`, which
answers from the cache, from pinned names, or by a `lookup` at the servers of a forward rule.
"""
