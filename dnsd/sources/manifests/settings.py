"""The settings of the directory of manifests.

In `sources/manifests/` (control plane: objects from files). Change here: what of it is set.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from dnsd.settings.kinds import CIDR, several
from dnsd.settings.paths import DIRECTORY
from dnsd.settings.schema import Group, Setting


class ManifestConfig(Struct, frozen=True, kw_only=True, rename={"directory": "manifests"}):
    """The directory to follow; "": none."""

    # fmt: off
    directory: Annotated[str, Setting(Group.SOURCES, DIRECTORY,
        "Directory of Kubernetes YAML or JSON. dnsd reads it recursively and follows its changes.",
        "config/examples/seed")] = ""
    service_cidr: Annotated[tuple[str, ...], Setting(Group.SOURCES, several(CIDR, at_least=1),
        "Networks from which Services in manifests get a ClusterIP if they do not have one. With a"
        " cluster, its API server assigns them. Empty: an error.")] = ("10.96.0.0/12",)
    # fmt: on
