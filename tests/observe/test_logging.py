"""The log: JSON or text, bounded, its level changeable while it runs."""

from __future__ import annotations

import io
import logging as stdlib_logging
import sys
from collections.abc import Iterator

import msgspec
import pytest
import structlog

from dnsd.observe import logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers = stdlib_logging.getLogger().handlers
    yield
    stdlib_logging.getLogger().handlers = handlers
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


class TestJson:
    def test_an_event_is_one_line(self) -> None:
        stream = io.StringIO()
        logging.configure("info", "json", stream)
        structlog.get_logger("module").warning("cannot read\na file", file="x.yaml", line=3)
        (line,) = lines(stream)
        assert line.pop("timestamp")
        assert line == {
            "event": "cannot read\na file",
            "file": "x.yaml",
            "line": 3,
            "level": "warning",
        }

    def test_loggers_of_the_standard_library_have_the_same_format(self) -> None:
        stream = io.StringIO()
        logging.configure("info", "json", stream)
        stdlib_logging.getLogger("asyncio").error("it %s", "broke")
        stdlib_logging.getLogger("asyncio").debug("below the level")
        (line,) = lines(stream)
        assert (line["event"], line["level"]) == ("it broke", "error")

    def test_an_exception_is_in_the_line_of_its_event(self) -> None:
        stream = io.StringIO()
        logging.configure("info", "json", stream)
        try:
            int("why")
        except ValueError:
            structlog.get_logger().exception("failed")
        (line,) = lines(stream)
        assert "ValueError: invalid literal" in str(line["exception"])

    def test_a_long_field_is_cut_with_its_length(self) -> None:
        stream = io.StringIO()
        logging.configure("info", "json", stream)
        structlog.get_logger().info("x", name="y" * 100_000)
        assert len(stream.getvalue()) < 3000


class TestText:
    def test_without_a_terminal_the_output_has_no_colors(self) -> None:
        stream = io.StringIO()
        logging.configure("info", "text", stream)
        structlog.get_logger().info("hello", zone="cluster.local")
        assert "\x1b" not in stream.getvalue()
        assert "zone=cluster.local" in stream.getvalue()

    def test_auto_is_json_without_a_terminal(self) -> None:
        stream = io.StringIO()
        logging.configure("info", "auto", stream)
        structlog.get_logger().info("hello")
        assert len(lines(stream)) == 1


class TestLevel:
    def test_a_level_holds_for_loggers_that_exist(self) -> None:
        stream = io.StringIO()
        logging.configure("info", "json", stream)
        log = structlog.get_logger("module").bind(x=1)
        log.debug("first")
        logging.set_level("debug")
        log.debug("second")
        logging.set_level("error")
        log.warning("third")
        log.error("fourth")
        assert [line["event"] for line in lines(stream)] == ["second", "fourth"]


def test_an_event_goes_to_stderr_as_it_is_then(capsys: pytest.CaptureFixture[str]) -> None:
    """A process that is set up once may have its standard error replaced, and closed."""
    logging.configure("info", "json")
    former, sys.stderr = sys.stderr, io.StringIO()
    try:
        structlog.get_logger().info("here")
        assert "here" in sys.stderr.getvalue()
    finally:
        sys.stderr = former
    structlog.get_logger().info("there")
    assert "there" in capsys.readouterr().err
