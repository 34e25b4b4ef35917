"""The data plane: processes that hold sockets and compiled bytes, and no secret.

`supervisor` (in the control process) keeps N of them running and tells them what changed
through a Unix socket pair each; `link` is one of them as the control process sees it;
`feed` is what the two say to each other; `main` is the process itself.
"""
