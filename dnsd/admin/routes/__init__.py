"""The routes of the API, one module for each resource.

In `admin/routes/` (control plane: HTTP). Change here: add a module and list it in `dnsd.admin.app`.
"""
