"""Receives queries from sockets, hands them to the engine, and sends the replies.

In `transport/` (data plane: sockets). Change here: one file per transport; registry.py lists them.
"""
