"""The admin API of one control plane, for all tests of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.admin.running import Admin, admin
from tests.admin.serving import Api
from tests.helpers import eventually
from tests.serving import SEED, serving


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Admin]:
    """An API without workers, whose history has begun."""
    async with admin(tmp_path) as made:
        await eventually(lambda: made.context.begun)
        await made.context.history.flush()
        yield made


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of `running`."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def running(state: Path) -> Iterator[Api]:
    """A dnsd process that serves the seed manifests."""
    flags = ("--manifests", str(SEED), "--admin", "127.0.0.1:0", "--state-dir", str(state))
    with serving(*flags) as server:
        yield Api(server)
