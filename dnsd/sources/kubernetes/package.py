"""The asyncio half of the official client, without the rest of it.

`import kubernetes.aio` runs the initialisation of the whole package first: the blocking client
and what it stands on, dynamic clients, streams, leader election. dnsd uses two modules of it,
and would pay 9 MB and a quarter of a second of its start for the others. Their packages are
therefore entered as they are found, not initialised; a module of theirs that somebody asks
for is still imported as usual.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec

_PACKAGES = ("kubernetes", "kubernetes.aio")


def aio_only() -> None:
    """Spare the process what `kubernetes.aio` brings along; no effect where that is here."""
    for name in _PACKAGES:
        if name not in sys.modules and (spec := find_spec(name)) is not None:
            sys.modules[name] = module_from_spec(spec)
