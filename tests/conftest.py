"""What tests of every room share.

`needs("dig")` marks a test that runs a program from outside, or takes one for a fixture:
without the program the test is skipped and says which is missing, and where `DNSD_CI` is
set it fails instead, so that a machine meant to run everything cannot quietly run less.
"""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*programs): programs that the test runs")
    config.addinivalue_line("markers", "slow: takes seconds; left out of second passes")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if not _found(program)]
        if missing and os.environ.get("DNSD_CI"):
            pytest.fail(f"not installed, and DNSD_CI is set: {', '.join(missing)}", pytrace=False)
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")


def _found(program: str) -> bool:
    # Servers live in sbin, which the PATH of an ordinary user may lack.
    return bool(shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin"))
