"""Query bytes in, reply bytes out.

In `answer/` (pure: no socket, no event loop, no client). Change here: what dnsd answers.
"""
