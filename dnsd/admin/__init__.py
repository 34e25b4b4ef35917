"""The HTTP API and the web page.

In `admin/` (control plane: the HTTP API). Change here: what operators see and control.

`server` binds the socket and opens the API, `app` has the table of routes and the gate in front of
it, `context` is what routes may read and do, and `routes/` has one module for each resource.
"""
