"""One running dnsd for all tests of a module that do not change it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.running import Running, running
from tests.serving import service

HEADLESS = """\
apiVersion: v1
kind: Service
metadata: {name: hollow, namespace: prod}
spec: {clusterIP: None, ports: [{port: 80}]}
"""
ALIAS = """\
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: prod}
spec: {type: ExternalName, externalName: example.org}
"""


@pytest.fixture(autouse=True)
def _in_a_plain_environment() -> Iterator[None]:
    if sys.modules.get("rich", sys) is None:
        del sys.modules["rich"]  # `serve` ran in this process, and disabled it
    kept = dict(os.environ)
    for name in [name for name in kept if name.startswith("DNSD_")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """web and api in default, hollow (headless, no endpoint) and outside (alias) in prod."""
    folder = tmp_path_factory.mktemp("running")
    files = {
        "web": service("web", "10.96.0.1") + service("api", "10.96.0.2"),
        "prod": HEADLESS + "---\n" + ALIAS,
    }
    with running(folder, **files) as found:
        yield found


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """A directory with the Service web, for commands without a server."""
    folder = tmp_path / "offline"
    folder.mkdir()
    (folder / "web.yaml").write_text(service("web", "10.96.0.1"))
    return folder
