"""The framing of the channel: a stream, split anywhere, gives the messages that were sent."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.worker.messages import (
    MAX_UP,
    Applied,
    Assembler,
    BadMessage,
    Drain,
    Drained,
    Heartbeat,
    Open,
    Opened,
    Table,
    packed,
    read_down,
    read_up,
)
from tests.worker.data_plane import SETUP

DOWN = [SETUP, Table(0, ()), Table(7, (b"", b"x" * 5000)), Open(), Drain(1.0, 2.0, handover=True)]
UP = [Applied(2**40), Opened(), Heartbeat((1, 2, 3), 0.5), Drained(True)]


class TestAssembler:
    @given(st.lists(st.integers(1, 3000), max_size=40))
    @settings(max_examples=30, deadline=None)
    def test_a_stream_split_anywhere_gives_the_messages(self, cuts: list[int]) -> None:
        stream = b"".join(map(packed, DOWN))
        assembler, found = Assembler(1 << 20), []
        for cut in [*cuts, len(stream)]:
            found += [read_down(body) for body in assembler.take(stream[:cut])]
            stream = stream[cut:]
        assert found == DOWN

    def test_a_message_over_the_limit_is_refused_at_its_length(self) -> None:
        with pytest.raises(BadMessage, match="101 bytes, the limit is 100"):
            list(Assembler(100).take(pack("!I", 101)))

    def test_messages_before_an_invalid_one_are_read(self) -> None:
        stream = Assembler(100).take(packed(Open()) + pack("!I", 101))
        assert read_down(next(stream)) == Open()
        with pytest.raises(BadMessage):
            next(stream)


class TestMessages:
    @pytest.mark.parametrize("message", UP)
    def test_up(self, message: Applied) -> None:
        assert read_up(packed(message)[4:]) == message

    def test_each_side_refuses_the_messages_of_the_other_direction(self) -> None:
        with pytest.raises(BadMessage):
            read_up(packed(Open())[4:])
        with pytest.raises(BadMessage):
            read_down(packed(Opened())[4:])

    @given(st.binary(max_size=200))
    @settings(max_examples=200, deadline=None)
    def test_any_bytes_are_a_message_or_refused(self, data: bytes) -> None:
        try:
            assert isinstance(read_up(data), Applied | Opened | Heartbeat | Drained)
        except BadMessage as error:
            data = str(error).encode()
        assert len(data) < MAX_UP
