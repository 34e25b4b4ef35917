"""The serial of the zone across restarts.

In `control/` (control process). Change here: how the serial continues after a restart.

A serial must never decrease, because a secondary would keep its old zone (RFC 1982). It begins at
the time in seconds since the epoch, which is ahead of any former serial as long as there was less
than one change per second. If the saved serial is later, it begins after that. (Seconds do not wrap
before 2106.)

The file has a number that the serial has not reached yet (`RESERVE` ahead), so a crash does no harm
and most changes need no write.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

RESERVE = 1000  # changes between two writes; a crash skips at most so many serials
_MAX = 2**32


class SerialFile:
    """The file in the state directory; nothing is saved if `directory` is empty."""

    def __init__(self, directory: str) -> None:
        """Create the directory if it is missing. Raises OSError."""
        self._path = Path(directory, "serial") if directory else None
        self._reserved: int | None = None  # the number in the file
        if self._path is not None:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)

    def first(self, now: float) -> int:
        """The first serial, at `now` seconds since the epoch. Reserves the next ones."""
        serial = max(self._read() + 1, int(now)) % _MAX
        self.reach(serial)
        return serial

    def reach(self, serial: int) -> None:
        """The zone is at `serial`: reserve more serials if none is left.

        Logs an error if the file cannot be written; dnsd continues.
        """
        if self._path is None:
            return
        if self._reserved is None or not 0 < (self._reserved - serial) % _MAX <= RESERVE:
            self._reserved = (serial + RESERVE) % _MAX
            self._write(self._reserved)

    def close(self, serial: int) -> None:
        """Save the last serial of this run, so that the next run continues without a gap."""
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
        log.warning(
            "the saved serial is invalid; the serial continues from the current time", found=text
        )
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
