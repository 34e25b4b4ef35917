"""RFC 1035 4.2.2: messages on a stream have a length field of two octets."""

from __future__ import annotations

import asyncio

import pytest

from dnsd.dns.framing import frame, length_of, read_frame


def stream(*octets: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for some in octets:
        reader.feed_data(some)
    reader.feed_eof()
    return reader


class TestRfc1035Section4_2_2:
    @pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535])
    def test_the_prefix_is_the_length_in_network_order(self, size: int) -> None:
        framed = frame(bytes(size))
        assert framed[:2] == bytes((size >> 8, size & 255))
        assert (length_of(framed[:2]), len(framed)) == (size, size + 2)

    def test_a_longer_message_cannot_be_framed(self) -> None:
        with pytest.raises(OverflowError):
            frame(bytes(65_536))

    async def test_messages_are_read_one_after_the_other(self) -> None:
        reader = stream(frame(b"first")[:4], frame(b"first")[4:] + frame(b""), frame(b"third"))
        read = reader.readexactly
        assert [await read_frame(read) for _ in range(3)] == [b"first", b"", b"third"]

    async def test_a_length_field_that_was_read_already_is_not_read_again(self) -> None:
        reader = stream(frame(b"only"))
        prefix = await reader.readexactly(2)
        assert await read_frame(reader.readexactly, prefix) == b"only"

    async def test_the_end_inside_a_message_is_an_error(self) -> None:
        with pytest.raises(asyncio.IncompleteReadError):
            await read_frame(stream(frame(b"cut short")[:-1]).readexactly)
