"""The helm program, for all tests of the chart."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.helm import binary
from tests.helm.charting import Objects, run


@pytest.fixture(scope="session")
def helm() -> str:
    return binary.find() or str(binary.fetch())


@pytest.fixture
def render(helm, tmp_path):
    """`render(values)`: the objects of the chart with these values."""

    def template(values: dict[str, Any] | None = None) -> Objects:
        done = run(helm, tmp_path, values)
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    return template
