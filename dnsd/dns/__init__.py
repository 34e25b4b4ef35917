"""The DNS wire format: names, types, messages, records, rdata, text, and framing.

In `dns/` (wire format, no I/O). Change here: nothing; see the module of the noun.

The package imports no other package of dnsd.
"""
