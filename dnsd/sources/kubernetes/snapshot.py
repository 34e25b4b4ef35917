"""The last good state of a cluster on disk, so that dnsd answers at once after a restart.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: the format of the
file, and which snapshots are refused. Increase VERSION with the format.

dnsd will serve the addresses in a snapshot. So a snapshot that is not certainly good is refused
with a reason, and never served in part.

    magic "DNSDSNAP" | format version, 4 octets | length, 8 octets | SHA-256 of the rest
    header (msgpack) | objects (packed by `cluster/store.py`), each after its length (4 octets)

All numbers are big-endian. `layout` in the header is a digest of the fields of all objects: a dnsd
with other fields refuses the file instead of misreading it, as it refuses another format version.
Objects stay packed in both directions. Each object that is read is decoded once, so that an error
is found before anything is served.

The file is written under a temporary name beside it, flushed to disk (fsync), and renamed. Its mode
is 0600, because it names every Service of a cluster. The next write removes a temporary file that a
killed process left. The checksum detects incomplete and damaged files, but not an attacker who can
write to the state directory: only dnsd may have access to that directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from io import BufferedReader, BufferedWriter
from itertools import chain
from pathlib import Path

import msgspec
from msgspec import Struct

from dnsd.cluster.store import LAYOUT, NotPacked, Packed, checked

MAGIC = b"DNSDSNAP"
VERSION = 2
MAX_BYTES = 512 * 2**20  # 200,000 slices of 10 endpoints are about half of it
FILE = "cluster.snapshot"

_HEAD = struct.Struct(">8sIQ32s")
_FRAME = struct.Struct(">I")


class BadSnapshot(ValueError):
    """A snapshot that cannot be served. The message gives the reason in one clause."""


class Header(Struct, frozen=True):
    """The cluster of the state, and the versions to resume from.

    `cluster`: the uid of the Namespace kube-system, "" if unknown. `endpoint`: a digest of the
    server and its CA (`Client.endpoint`). `versions`: the resourceVersion of each watched scope, by
    `Scope.id`. `written`: in seconds since the epoch.
    """

    cluster: str
    endpoint: str
    versions: dict[str, str]
    written: float
    layout: str = ""


class Snapshot(Struct, frozen=True):
    """A header and the stripped objects, packed."""

    header: Header
    objects: tuple[Packed, ...]


def write(path: Path, header: Header, objects: Iterable[Packed]) -> int:
    """Replace the file at `path` in one step. Returns its size in bytes. Raises OSError.

    Iterates over `objects` once, so that memory does not grow with the cluster. Only one process at
    a time may write there.
    """
    prefix = f".{path.name}."
    for stray in path.parent.glob(f"{prefix}*"):
        stray.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=prefix)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            size = _write(file, msgspec.structs.replace(header, layout=LAYOUT), objects)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)  # POSIX makes the rename permanent only by this
    finally:
        os.close(directory)
    return size


def _write(file: BufferedWriter, header: Header, objects: Iterable[Packed]) -> int:
    file.write(bytes(_HEAD.size))
    digest, length = hashlib.sha256(), 0
    for body in chain((msgspec.msgpack.encode(header),), objects):
        frame = _FRAME.pack(len(body)) + body
        file.write(frame)
        digest.update(frame)
        length += len(frame)
    file.seek(0)
    file.write(_HEAD.pack(MAGIC, VERSION, length, digest.digest()))
    return _HEAD.size + length


def read(path: Path, *, now: float, max_age: float) -> Snapshot | None:
    """The snapshot at `path`, or None if the file does not exist.

    Raises BadSnapshot for a snapshot that is corrupt, of another version, or older than `max_age`
    seconds at the time `now`. The caller must check the cluster.
    """
    try:
        with path.open("rb") as file:
            return _read(file, now, max_age)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadSnapshot(f"cannot be read: {error}") from error
    except (msgspec.DecodeError, struct.error, NotPacked) as error:
        raise BadSnapshot(f"corrupt: {error}") from error


def _read(file: BufferedReader, now: float, max_age: float) -> Snapshot:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(MAGIC):
        raise BadSnapshot("corrupt: not a snapshot of dnsd")
    _, version, length, digest = _HEAD.unpack(head)
    if version != VERSION:
        raise BadSnapshot(f"another version: format {version}, this dnsd reads {VERSION}")
    size = os.fstat(file.fileno()).st_size
    if size != _HEAD.size + length:
        raise BadSnapshot(f"corrupt: has {size} bytes, should have {_HEAD.size + length}")
    if length > MAX_BYTES:
        raise BadSnapshot(f"too large: {length} bytes, at most {MAX_BYTES} are read")
    if hashlib.file_digest(file, "sha256").digest() != digest:
        raise BadSnapshot("corrupt: the checksum does not match")
    file.seek(_HEAD.size)
    bodies = _bodies(file, length)
    header = msgspec.msgpack.decode(next(bodies, b""), type=Header)
    if header.layout != LAYOUT:
        raise BadSnapshot("another version: the objects of this dnsd have other fields")
    age = now - header.written
    if age > max_age:
        raise BadSnapshot(f"too old: {age:.0f} s, at most {max_age:.0f} s are served")
    if age < -max_age:
        raise BadSnapshot(f"written {-age:.0f} s in the future; check the clock of this machine")
    return Snapshot(header, tuple(map(checked, bodies)))


def _bodies(file: BufferedReader, length: int) -> Iterator[bytes]:
    while length > 0:
        (size,) = _FRAME.unpack(file.read(_FRAME.size))
        yield file.read(size)
        length -= _FRAME.size + size
