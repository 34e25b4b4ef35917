"""The zone's serial across restarts.

A serial must never go back: a secondary would keep what it has and never know. It begins at
the time in seconds since the epoch, which is ahead of any past serial as long as there was
less than a change a second, or after the last one saved, whichever is later (RFC 1982 order
of a number that wraps is the zone's business; seconds do not wrap before 2106).

What is saved is not the serial but a number it has not reached yet (`RESERVE` ahead), so
that a crash between two writes does no harm and a change costs no write.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

RESERVE = 1000  # changes between two writes; what a crash skips
_MAX = 2**32


class SerialFile:
    """The file in the state directory; `directory` "" keeps nothing."""

    def __init__(self, directory: str) -> None:
        """Makes the directory when it is missing. Raises OSError."""
        self._path = Path(directory, "serial") if directory else None
        self._reserved: int | None = None  # the number in the file
        if self._path is not None:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)

    def first(self, now: float) -> int:
        """The serial to start with, at `now` seconds since the epoch; reserves what follows."""
        serial = max(self._read() + 1, int(now)) % _MAX
        self.reach(serial)
        return serial

    def reach(self, serial: int) -> None:
        """The zone is at `serial`: reserve more when what was reserved is used up.

        A file that cannot be written is logged; answering goes on.
        """
        if self._path is None:
            return
        if self._reserved is None or not 0 < (self._reserved - serial) % _MAX <= RESERVE:
            self._reserved = (serial + RESERVE) % _MAX
            self._write(self._reserved)

    def close(self, serial: int) -> None:
        """The last serial of this run: the next one goes on from here, without a leap."""
        if self._path is not None:
            self._write(serial)

    def _read(self) -> int:
        if self._path is None:
            return -1
        try:
            text = self._path.read_text(encoding="ascii")[:20].strip()
            if text.isdigit() and int(text) < _MAX:
                return int(text)
        except FileNotFoundError:
            return -1
        except (OSError, ValueError) as error:
            text = str(error)
        log.warning("the saved serial is of no use, going on from the time", found=text)
        return -1

    def _write(self, serial: int) -> None:
        if self._path is None:
            return
        new = self._path.with_suffix(".new")
        try:
            with new.open("w", encoding="ascii") as file:
                file.write(f"{serial}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            log.warning("cannot save the serial", path=str(self._path), problem=error.strerror)
            with contextlib.suppress(OSError):
                new.unlink()
