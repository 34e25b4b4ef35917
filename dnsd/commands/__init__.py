"""The commands of `dnsd`, one module each.

In `commands/` (the command line). Change here: add a command to `COMMANDS`.

A module here has one public name, `command`, a click command. It is imported when the command runs
or its help is shown, so its imports cost the other commands nothing. Expensive imports are inside
its function.

`dnsd.commands.options` makes flags from the declared settings and reads them. A command reports an
error by raising `SettingsError` (exit code 2) or `Failure` (exit code 1); `dnsd.cli.main` prints
it.
"""

from __future__ import annotations

# name -> (module, line of `dnsd --help`), in the order in which a new user needs them
COMMANDS = {
    "serve": ("dnsd.commands.serve", "Answer DNS for the Services of a directory or a cluster."),
    "check": ("dnsd.commands.check", "Report errors in a configuration or in manifests."),
    "zone": ("dnsd.commands.zone", "Print all records, of a running dnsd or of manifests."),
    "explain": ("dnsd.commands.explain", "Explain why a name resolves, or why it does not."),
    "plan": ("dnsd.commands.plan", "List the names that a manifest would add, remove, or change."),
    "query": ("dnsd.commands.query", "Send a query to a running dnsd, as a client would."),
    "status": ("dnsd.commands.status", "Show the state of a running dnsd."),
    "history": ("dnsd.commands.history", "Show how a name changed: when, from what, and why."),
    "top": ("dnsd.commands.top", "Show live rates, names, clients, and NXDOMAINs."),
}


class Failure(Exception):
    """A command failed, and the configuration is not the cause (exit code 1)."""
