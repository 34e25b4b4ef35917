"""The snapshot file: what is written comes back, and what is not certainly good is refused."""

from __future__ import annotations

import os
import stat
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import (
    DNSEndpoint,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Gateway,
    Ingress,
    Listener,
    LoadBalancerIngress,
    Namespace,
    Node,
    Parent,
    Pod,
    Route,
    Service,
    ServicePort,
    StatedRecords,
)
from dnsd.cluster.store import pack, unpack
from dnsd.sources.kubernetes import snapshot
from dnsd.sources.kubernetes.snapshot import BadSnapshot, Header, read, write

NOW = 1_800_000_000.0
DAY = 86400.0
HEADER = Header("uid-1", "endpoint-1", {"services": "17", "pods": "18"}, NOW)
OBJECTS = (
    Service(
        "default",
        "web",
        cluster_ips=(b"\x0a\x60\x00\x01", b"\xfd" + bytes(15)),
        ports=(ServicePort("http", "TCP", 80, 30080),),
        ingress=(
            LoadBalancerIngress(b"\xc0\x00\x02\x01"),
            LoadBalancerIngress(hostname="lb.example"),
        ),
        labels={"app": "web", "größe": "ü"},
        version="17",
    ),
    EndpointSlice(
        "default",
        "web-x",
        "web",
        (Endpoint((b"\x0a\x01\x00\x01",), "host", False, "pod", "node"),),
        (EndpointPort("http", "TCP", 8080),),
    ),
    Namespace("default", {"team": "a"}, uid="uid", version="3"),
    Pod("default", "p", (b"\x0a\x01\x00\x01",), "Running", searches=("x.example",)),
    Node("n", (b"\xc0\x00\x02\x02",), ready=True),
    Ingress("default", "i", ("a.example",), (LoadBalancerIngress(b"\xc0\x00\x02\x03"),)),
    Gateway("default", "g", (Listener("l", "*.example", 80),)),
    Route("HTTPRoute", "default", "r", ("a.example",), (Parent("default", "g", "l"),)),
    Route("TLSRoute", "default", "r"),
    DNSEndpoint("default", "d", (StatedRecords("a.example", "A", ("192.0.2.1",), 60),)),
)
PACKED = tuple(map(pack, OBJECTS))


@pytest.fixture
def path(tmp_path):
    return tmp_path / snapshot.FILE


@pytest.fixture
def written(path):
    write(path, HEADER, PACKED)
    return path


def load(path, now=NOW, max_age=DAY):
    return read(path, now=now, max_age=max_age)


def objects_of(snapshot):
    return tuple(map(unpack, snapshot.objects))


def test_read_returns_what_was_written(written):
    found = load(written)
    assert objects_of(found) == OBJECTS
    assert msgspec.structs.replace(found.header, layout="") == HEADER


_text = st.text(max_size=12)
_address = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
_addresses = st.lists(_address, max_size=3).map(tuple)
_services = st.builds(
    Service,
    namespace=_text,
    name=_text,
    cluster_ips=_addresses,
    ports=st.lists(st.builds(ServicePort, _text, _text, st.integers(0, 65535))).map(tuple),
    labels=st.dictionaries(_text, _text, max_size=3),
    headless=st.booleans(),
    version=_text,
)
_slices = st.builds(
    EndpointSlice,
    namespace=_text,
    name=_text,
    service=_text,
    endpoints=st.lists(st.builds(Endpoint, _addresses, _text, st.booleans())).map(tuple),
)


@settings(deadline=None, max_examples=30)
@given(objects=st.lists(_services | _slices, max_size=4))
def test_read_returns_any_objects(objects, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "one"
    write(path, HEADER, map(pack, objects))
    assert objects_of(load(path)) == tuple(objects)


def test_a_missing_file_is_none(path):
    assert load(path) is None


def test_the_file_is_private_and_has_no_temporary_file_beside_it(written):
    write(written, HEADER, PACKED[:1])
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert os.listdir(written.parent) == [written.name]
    assert objects_of(load(written)) == OBJECTS[:1]


def test_a_failed_write_keeps_the_last_snapshot(written):
    def breaking():
        yield PACKED[0]
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write(written, HEADER, breaking())
    assert objects_of(load(written)) == OBJECTS
    assert os.listdir(written.parent) == [written.name]


def test_the_error_for_a_missing_directory_names_it(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        write(tmp_path / "nowhere" / "file", HEADER, PACKED)


def test_the_next_write_removes_the_file_of_a_killed_process(path):
    """Each is as large as a snapshot, and a Pod that is killed again and again leaves many."""
    stray = path.with_name(f".{path.name}.abc123")
    stray.write_bytes(b"x")
    other = path.with_name(".other")
    other.write_bytes(b"x")
    write(path, HEADER, [])
    assert {one.name for one in path.parent.iterdir()} >= {path.name, ".other"}
    assert not stray.exists()


class TestRefused:
    def test_an_old_or_future_snapshot_is_refused(self, written):
        assert load(written, NOW + DAY)
        with pytest.raises(BadSnapshot, match="too old: 86460 s, at most 86400"):
            load(written, NOW + DAY + 60)
        with pytest.raises(BadSnapshot, match="clock"):
            load(written, NOW - 2 * DAY)

    def test_another_format_is_refused(self, written):
        data = bytearray(written.read_bytes())
        data[8:12] = struct.pack(">I", snapshot.VERSION + 1)
        written.write_bytes(data)
        with pytest.raises(BadSnapshot, match="another version: format 3"):
            load(written)

    def test_other_fields_are_refused(self, written):
        data = written.read_bytes()
        # As a dnsd with other fields would have written it, its checksum included.
        body = data[snapshot._HEAD.size :].replace(
            snapshot.LAYOUT.encode(), snapshot.LAYOUT[::-1].encode()
        )
        digest = snapshot.hashlib.sha256(body).digest()
        head = snapshot._HEAD.pack(snapshot.MAGIC, snapshot.VERSION, len(body), digest)
        written.write_bytes(head + body)
        with pytest.raises(BadSnapshot, match="other fields"):
            load(written)

    @pytest.mark.parametrize("data", [b"", b"DNSD", b"x" * 100, b"DNSDSNAP"])
    def test_another_file_is_refused(self, path, data):
        path.write_bytes(data)
        with pytest.raises(BadSnapshot, match="corrupt"):
            load(path)

    def test_a_large_file_is_refused_before_it_is_read(self, path):
        with path.open("wb") as file:
            size = snapshot.MAX_BYTES + 1
            file.write(snapshot._HEAD.pack(snapshot.MAGIC, snapshot.VERSION, size, bytes(32)))
            file.truncate(snapshot._HEAD.size + size)  # sparse: no disk is used
        with pytest.raises(BadSnapshot, match="too large"):
            load(path)

    def test_a_directory_is_refused(self, path):
        path.mkdir()
        with pytest.raises(BadSnapshot, match="cannot be read"):
            load(path)

    @pytest.mark.parametrize("body", [b"", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x00"])
    def test_wrong_contents_with_a_right_checksum_are_refused(self, path, body):
        digest = snapshot.hashlib.sha256(body).digest()
        head = snapshot._HEAD.pack(snapshot.MAGIC, snapshot.VERSION, len(body), digest)
        path.write_bytes(head + body)
        with pytest.raises(BadSnapshot, match="corrupt"):
            load(path)

    @pytest.mark.parametrize("octets", [b"", b"\xff\x90", b"\x00", b"\x00\x90", b"\x00\xc1"])
    def test_octets_that_are_not_an_object_are_refused(self, path, octets):
        """None of them is served, those before it neither."""
        write(path, HEADER, [PACKED[0], octets])
        with pytest.raises(BadSnapshot, match="corrupt"):
            load(path)

    @settings(deadline=None, max_examples=80)
    @given(data=st.data())
    def test_any_flipped_bit_or_missing_end_is_refused(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("flip") / "one"
        write(path, HEADER, PACKED)
        whole = bytearray(path.read_bytes())
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(whole) - 1))
            whole[at] ^= 1 << data.draw(st.integers(0, 7))
        else:
            del whole[data.draw(st.integers(0, len(whole) - 1)) :]
        path.write_bytes(whole)
        with pytest.raises(BadSnapshot):
            load(path)
