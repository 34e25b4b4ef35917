"""The last good state of a cluster on disk, so that a restart can answer at once.

A snapshot is read back into a server that will hand out its addresses, so the rule is: what
is not certainly good is refused with a reason, and never served in part.

    magic "DNSDSNAP" | format version, 4 octets | length, 8 octets | SHA-256 of the rest
    header (msgpack) | objects (as `packing.py` packs them), each behind its length (4 octets)

All numbers are big-endian. `layout` in the header is a digest of the objects' fields: a dnsd
whose objects have other fields cannot misread a file, it refuses it, as it does one of
another format version. Objects stay packed, on both ways; those that are read are looked at
once, so that what cannot be unpacked is found before anything is served.

Written to a temporary file beside it, fsynced, renamed, mode 0600 (it names every Service
of a cluster). One that a killed process left there goes with the next write. The checksum
guards against torn and rotten files, not against somebody who can write the state directory:
that directory has to belong to dnsd.
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
    """A snapshot that cannot be served; the message says why, in one clause."""


class Header(Struct, frozen=True):
    """Whose state it is, and from where it can be resumed.

    `cluster` is the uid of the Namespace kube-system ("" when it could not be asked);
    `endpoint` names the server and its CA (`Client.endpoint`). `versions` maps each scope
    that was followed (`Scope.id`) to the resourceVersion its objects are of. `written` is
    in seconds since the epoch.
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
    """Replace the file at `path` in one step. Returns its bytes. Raises OSError.

    `objects` is walked once, so that memory does not grow with the cluster. One process at a
    time writes there.
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
    _sync_directory(path.parent)
    return size


def _write(file: BufferedWriter, header: Header, objects: Iterable[Packed]) -> int:
    file.write(bytes(_HEAD.size))
    digest, length = hashlib.sha256(), 0
    for frame in _frames(header, objects):
        file.write(frame)
        digest.update(frame)
        length += len(frame)
    file.seek(0)
    file.write(_HEAD.pack(MAGIC, VERSION, length, digest.digest()))
    return _HEAD.size + length


def _frames(header: Header, objects: Iterable[Packed]) -> Iterator[bytes]:
    for body in chain((msgspec.msgpack.encode(header),), objects):
        yield _FRAME.pack(len(body)) + body


def _sync_directory(path: Path) -> None:
    """Makes the rename last: POSIX orders it only by the directory's own fsync."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, *, now: float, max_age: float) -> Snapshot | None:
    """The snapshot at `path`, or None when there is none.

    Raises BadSnapshot for one that is corrupt, of another version, or older than `max_age`
    seconds at `now`. Whose cluster it is has to be asked by the caller.
    """
    try:
        with path.open("rb") as file:
            return _read(file, now, max_age)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadSnapshot(f"cannot be read: {error}") from error


def _read(file: BufferedReader, now: float, max_age: float) -> Snapshot:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(MAGIC):
        raise BadSnapshot("corrupt: is no snapshot of dnsd")
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
    try:
        return _decode(file, length, now, max_age)
    except (msgspec.DecodeError, struct.error, NotPacked) as error:
        raise BadSnapshot(f"corrupt: {error}") from error


def _decode(file: BufferedReader, length: int, now: float, max_age: float) -> Snapshot:
    header: Header | None = None
    objects: list[Packed] = []
    while length > 0:
        (size,) = _FRAME.unpack(file.read(_FRAME.size))
        body = file.read(size)
        length -= _FRAME.size + size
        if header is None:
            header = msgspec.msgpack.decode(body, type=Header)
            _check_header(header, now, max_age)
        else:
            objects.append(checked(body))
    if header is None:
        raise BadSnapshot("corrupt: has no header")
    return Snapshot(header, tuple(objects))


def _check_header(header: Header, now: float, max_age: float) -> None:
    if header.layout != LAYOUT:
        raise BadSnapshot("another version: its objects have other fields than this dnsd's")
    age = now - header.written
    if age > max_age:
        raise BadSnapshot(f"too old: {age:.0f} s, at most {max_age:.0f} s are served")
    if age < -max_age:
        raise BadSnapshot(f"from the future: {-age:.0f} s; check this machine's clock")
