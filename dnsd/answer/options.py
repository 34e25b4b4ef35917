"""EDNS options: one table of handlers, by option code (RFC 6891 6.1.2).

In `answer/` (pure: query bytes to reply bytes). Change here: add or change an EDNS option.

An option that is not in the table is ignored, whatever its data (RFC 6891 6.1.2). So are the DNS
cookie (RFC 7873) and padding (RFC 7830). Queries whose options are all ignored take the fast path
(`fast.py`); a query with an option of the table takes the complete path.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack

from msgspec import Struct

from dnsd.answer.settings import EngineConfig
from dnsd.answer.transport import Transport
from dnsd.dns.message import Edns, Malformed, Option, option


class Handler(Struct, frozen=True):
    """What dnsd does with one option.

    `check` raises `Malformed` for data that a query must not carry. `reply` makes the data
    of the option in the reply, None for no option.
    """

    check: Callable[[bytes], None] | None = None
    reply: Callable[[EngineConfig, Transport], bytes | None] | None = None


def check(edns: Edns) -> None:
    """Checks the options of a query. Raises `Malformed`."""
    for code, data in edns.options:
        handler = OPTIONS.get(code)
        if handler is not None and handler.check is not None:
            handler.check(data)


def reply_options(
    edns: Edns, config: EngineConfig, transport: Transport, required: bytes, room: int
) -> bytes:
    """The options of a reply: those that the query requests, then `required`.

    An option that does not fit into `room` octets, behind the question of the reply, is left
    out: the longest name leaves 230 octets of 512 for options.
    """
    options = required
    requested = {code for code, _ in edns.options}
    for code, handler in OPTIONS.items():
        if code in requested and handler.reply is not None:
            data = handler.reply(config, transport)
            if data is not None and 4 + len(data) + len(options) <= room:
                options = option(code, data) + options
    return options


def _keepalive(config: EngineConfig, transport: Transport) -> bytes | None:
    """RFC 7828 3.3.2: the idle timeout, over transports with connections only."""
    return pack("!H", config.tcp_keepalive) if transport.keepalive else None


def _nsid(config: EngineConfig, transport: Transport) -> bytes | None:  # noqa: ARG001
    """RFC 5001 2.1: the name of this server, if one is configured."""
    return config.nsid or None


def _check_client_subnet(data: bytes) -> None:
    """RFC 7871 6 and 7.1.2: known family, prefix in range, no more octets than it needs."""
    if len(data) < 4:
        raise Malformed("a client subnet option has at least 4 octets")
    family, source, scope = data[0] << 8 | data[1], data[2], data[3]
    bits = {1: 32, 2: 128}.get(family)
    if bits is None or source > bits:
        raise Malformed("the client subnet has an unknown family or too long a prefix")
    if scope:
        raise Malformed("the scope of a client subnet is 0 in a query")
    address = data[4:]
    if len(address) != (source + 7) // 8:
        raise Malformed("the address of a client subnet has the octets of its prefix")
    if source % 8 and address[-1] & (0xFF >> source % 8):
        raise Malformed("the client subnet has bits set behind its prefix")


# In the reply an option comes before those above it: NSID, keepalive, extended error.
OPTIONS: dict[int, Handler] = {
    Option.TCP_KEEPALIVE: Handler(reply=_keepalive),
    Option.NSID: Handler(reply=_nsid),
    Option.CLIENT_SUBNET: Handler(check=_check_client_subnet),
}
