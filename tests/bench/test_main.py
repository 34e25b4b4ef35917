"""The command line of the bench."""

from __future__ import annotations

import pytest

from bench.__main__ import main


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["speed"], "speed: not one of cpu, latency, slow, start"),
        (["--servers", "nsd,named"], "--servers named: not one of floor, nsd, knot, dnsd"),
        (["--rounds", "0"], "--rounds 0: not between 1 and 100"),
    ],
)
def test_wrong_usage_ends_with_exit_code_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_an_error_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--services", "3", "--servers", "floor"]) == 1
    assert (
        capsys.readouterr().err.splitlines()[-1].startswith("bench: services: 3 is not between 10")
    )
