"""The admin API of one control plane, for all tests of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.admin.running import Admin, admin
from tests.helpers import eventually


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Admin]:
    """An API without workers, whose history has begun."""
    async with admin(tmp_path) as made:
        await eventually(lambda: made.context.begun)
        await made.context.history.flush()
        yield made
