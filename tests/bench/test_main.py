"""The command line."""

from __future__ import annotations

import pytest

from bench.__main__ import main


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["speed"], "speed: none of cpu, latency, slow, start"),
        (["--servers", "nsd,named"], "--servers named: none of floor, nsd, knot, dnsd"),
        (["--rounds", "0"], "--rounds 0: not in 1 to 100"),
    ],
)
def test_wrong_usage(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_measured_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--services", "3", "--servers", "floor"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("bench: services: 3 is not in 10")
