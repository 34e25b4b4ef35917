"""The data plane: processes that hold sockets and compiled bytes, and no secret.

In `worker/` (both processes). Change here: how workers are started, fed, and observed.

`supervisor` runs in the control process: it keeps N workers running and sends them every change
through a Unix socket pair each. `process` is one worker as the control process sees it. `messages`
defines what the two processes send. `main` is the worker process itself.
"""
