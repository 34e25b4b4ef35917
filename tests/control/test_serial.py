"""The serial never goes back, whatever happened to the file or the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.control.serial import RESERVE, SerialFile


class TestFirst:
    def test_without_a_directory_it_is_the_time(self) -> None:
        assert SerialFile("").first(1_800_000_000.9) == 1_800_000_000

    def test_it_goes_on_after_the_last(self, tmp_path: Path) -> None:
        serials = SerialFile(str(tmp_path / "state"))
        first = serials.first(1000.0)
        serials.close(first + 5)
        assert SerialFile(str(tmp_path / "state")).first(1000.0) == first + 6

    def test_the_time_is_taken_when_it_is_ahead(self, tmp_path: Path) -> None:
        SerialFile(str(tmp_path)).close(1000)
        assert SerialFile(str(tmp_path)).first(5000.0) == 5000

    def test_after_a_crash_it_is_past_everything_that_was_served(self, tmp_path: Path) -> None:
        serials = SerialFile(str(tmp_path))
        serial = serials.first(1000.0)
        for _ in range(3 * RESERVE):
            serial += 1
            serials.reach(serial)
        assert SerialFile(str(tmp_path)).first(1000.0) > serial

    def test_it_wraps(self, tmp_path: Path) -> None:
        serials = SerialFile(str(tmp_path))
        serials.close(2**32 - 1)
        assert SerialFile(str(tmp_path)).first(0.0) == 0
        serials.reach(2**32 - 3)
        assert int((tmp_path / "serial").read_text()) == RESERVE - 3

    @pytest.mark.parametrize("text", ["", "x", "-1", "9" * 30, "\x00", "4294967296"])
    def test_a_file_that_is_of_no_use_is_passed_over(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "serial").write_text(text)
        assert SerialFile(str(tmp_path)).first(77.0) == 77

    def test_a_file_that_cannot_be_written_does_not_stop_anything(self, tmp_path: Path) -> None:
        (tmp_path / "serial.new").mkdir()
        serials = SerialFile(str(tmp_path))
        assert serials.first(77.0) == 77
        serials.close(80)
        assert not (tmp_path / "serial").exists()


def test_few_writes(tmp_path: Path) -> None:
    serials = SerialFile(str(tmp_path))
    serial = serials.first(1000.0)
    before = (tmp_path / "serial").stat().st_mtime_ns
    for step in range(RESERVE - 1):
        serials.reach(serial + step)
    assert (tmp_path / "serial").stat().st_mtime_ns == before
