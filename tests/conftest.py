"""The markers of all tests, and the log configuration that each test begins with.

In `tests/` (support of all tests). Change here: markers, when a test is skipped, and what each test
leaves as it was.

`needs("dig")` marks a test that runs an installed program. Without the program, the test is skipped
with the name of the program. With `DNSD_CI` set, it fails instead, so that the CI cannot skip it
unnoticed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
import structlog


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*programs): installed programs that the test runs")
    config.addinivalue_line("markers", "slow: takes seconds; excluded from quick runs")


@pytest.fixture(autouse=True)
def _default_logging() -> Iterator[None]:
    """A test that configures the log does not affect the tests after it."""
    yield
    structlog.reset_defaults()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if not _found(program)]
        if missing and os.environ.get("DNSD_CI"):
            pytest.fail(f"not installed, and DNSD_CI is set: {', '.join(missing)}", pytrace=False)
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")


def _found(program: str) -> bool:
    # Servers are in sbin, which the PATH of a user may lack.
    return bool(shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin"))
