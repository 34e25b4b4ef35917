"""The commands of `dnsd`, one a module.

A module here has one public name, `command`, a click command; `COMMANDS` is the list of
them. A command's module is imported when the command runs or its own help is asked for, so
its imports cost nobody else anything; heavier ones belong inside its function.

What they share is in `dnsd.commands.options`: flags made from the declared settings, and
the reading of them. A command says what went wrong by raising `SettingsError` (exit code
2) or `Failure` (exit code 1); `dnsd.cli.main` is what prints it.
"""

from __future__ import annotations

# name -> (module, the line of `dnsd --help`); in the order a newcomer meets them
COMMANDS = {
    "serve": ("dnsd.commands.serve", "Answer DNS for the Services of a directory or a cluster."),
    "check": ("dnsd.commands.check", "Say what is wrong with a configuration or manifests."),
    "zone": ("dnsd.commands.zone", "Print every record, of a running dnsd or of manifests."),
    "explain": ("dnsd.commands.explain", "Say why a name resolves, or why it does not."),
    "plan": ("dnsd.commands.plan", "Say which names a manifest would add, remove or change."),
    "query": ("dnsd.commands.query", "Ask a running dnsd a question, as a client would."),
    "status": ("dnsd.commands.status", "Say how a running dnsd is doing."),
    "history": ("dnsd.commands.history", "Show how a name changed: when, from what, and why."),
    "top": ("dnsd.commands.top", "Watch what is asked: rates, names, clients, NXDOMAINs."),
}


class Failure(Exception):
    """A command could not do its work, and the configuration is not to blame (exit code 1)."""
