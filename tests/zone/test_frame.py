"""Frames: what the control process writes is what the workers read."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.zone.frame import (
    MAX_BODY,
    SMALL_BODY,
    STALE,
    Apex,
    Frame,
    Node,
    RRsetBody,
    compile_state,
    decode_frame,
    encode_frame,
)

octets = st.binary(max_size=20)
bodies = st.builds(RRsetBody, st.integers(1, 65_535), st.integers(1, 9), st.integers(0, 28), octets)
nodes = st.builds(
    Node,
    octets,
    st.integers(0, 3),
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(1, 65_535), octets), max_size=2).map(tuple),
    st.lists(bodies, max_size=2).map(tuple),
)
apexes = st.builds(Apex, octets, octets, octets, st.binary(min_size=16, max_size=16), st.just(5))


@given(st.lists(nodes, max_size=3).map(tuple), st.lists(apexes, max_size=2).map(tuple))
def test_a_frame_is_decoded_as_it_was_encoded(
    nodes: tuple[Node, ...], zones: tuple[Apex, ...]
) -> None:
    frame = Frame(7, reset=True, zones=zones, nodes=nodes, gone=(b"\1a\0",))
    assert decode_frame(encode_frame(frame)) == frame


def test_octets_that_are_not_a_frame_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_frame(b"\xc1garbage")


def test_a_frame_of_the_state_changes_nothing_else() -> None:
    frame = decode_frame(compile_state(STALE, 9, (b"\1a\0",)))
    assert frame == Frame(9, state=STALE, unknown=(b"\1a\0",))


def test_a_small_record_fits_512_octets_and_the_longest_body_fits_a_message() -> None:
    longest_question = 255 + 4
    assert 12 + longest_question + SMALL_BODY <= 512
    assert 12 + longest_question + MAX_BODY <= 65_535
