"""Messages that no library sends: wrong headers, questions, and EDNS as raw octets.

In `tests/cases/` (query tables). Change here: malformed messages, and their replies.

Each row is (title, packet, RCODE of the reply, or None for no reply). `check` also verifies that
the reply is a response, has the ID and the opcode of the packet, and can be parsed, and that it has
an answer only if the row expects one.
"""

from __future__ import annotations

from struct import pack
from typing import NamedTuple

import dns.message
import dns.name

WEB = dns.name.from_text("web.prod.svc.cluster.local.").to_wire()
assert WEB is not None
A_IN = b"\x00\x01\x00\x01"
ROOT_OPT = b"\x00\x00\x29"

NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 3, 4, 5, 16


class Raw(NamedTuple):
    title: str
    packet: bytes
    rcode: int | None
    data: bool = False  # the reply has an answer


def message(
    body: bytes, flags: int = 0x0100, qd: int = 1, an: int = 0, ns: int = 0, ar: int = 0
) -> bytes:
    return pack("!HHHHHH", 0xBEEF, flags, qd, an, ns, ar) + body


def opt(
    options: bytes = b"", size: int = 1232, version: int = 0, flags: int = 0, rcode: int = 0
) -> bytes:
    return ROOT_OPT + pack("!HBBHH", size, rcode, version, flags, len(options)) + options


def option(code: int, data: bytes = b"") -> bytes:
    return pack("!HH", code, len(data)) + data


QUESTION = WEB + A_IN
LONG_LABEL = b"\x40" + b"a" * 64
NAME_256 = b"".join(b"\x3f" + b"a" * 63 for _ in range(4)) + b"\x00"
assert len(NAME_256) == 257
NAME_255 = b"".join(b"\x3f" + b"a" * 63 for _ in range(3)) + b"\x3d" + b"a" * 61 + b"\x00"
assert len(NAME_255) == 255
MOST_LABELS = b"\x01a" * 127 + b"\x00"
assert len(MOST_LABELS) == 255
TXT = b"\x00\x10\x00\x01" + bytes(4) + b"\x00\x00"  # a record without data, after its owner name

RAW: list[Raw] = [
    # header
    *(Raw(f"{n} octets", message(QUESTION)[:n], None) for n in (0, 1, 2, 11)),
    Raw("a response", message(QUESTION, flags=0x8180), None),
    Raw("a response with another opcode", message(QUESTION, flags=0xA800), None),
    Raw("AA set in the query", message(QUESTION, flags=0x0500), NOERROR, True),
    Raw("TC set in the query", message(QUESTION, flags=0x0300), NOERROR, True),
    Raw("RA set in the query", message(QUESTION, flags=0x0180), NOERROR, True),
    Raw("Z set in the query", message(QUESTION, flags=0x0140), NOERROR, True),
    Raw("an RCODE in the query", message(QUESTION, flags=0x010F), NOERROR, True),
    *(
        Raw(f"opcode {opcode}", message(QUESTION, flags=opcode << 11 | 0x0100), NOTIMP)
        for opcode in range(1, 16)
    ),
    *(
        Raw(f"opcode {opcode} without a question", message(b"", flags=opcode << 11, qd=0), NOTIMP)
        for opcode in (1, 2, 4, 5, 15)
    ),
    Raw("no question", message(b"", qd=0), FORMERR),
    Raw("two questions", message(QUESTION * 2, qd=2), FORMERR),
    Raw("65535 questions", message(QUESTION, qd=65535), FORMERR),
    Raw("an answer count", message(QUESTION, an=1), FORMERR),
    Raw("an authority count", message(QUESTION, ns=1), FORMERR),
    Raw("65535 additional records", message(QUESTION, ar=65535), FORMERR),
    Raw("a missing additional record", message(QUESTION, ar=1), FORMERR),
    Raw("a header only", message(b""), FORMERR),
    # the question
    Raw("label type 0x40", message(b"\x41" + QUESTION), FORMERR),
    Raw("label type 0x80", message(b"\x80" + QUESTION), FORMERR),
    Raw("a pointer to itself", message(b"\xc0\x0c" + A_IN), FORMERR),
    Raw("a pointer forward", message(b"\xc0\x20" + A_IN + QUESTION), FORMERR),
    Raw("a pointer past the end", message(b"\xff\xff" + A_IN), FORMERR),
    Raw("a pointer after a label", message(b"\x03web\xc0\x0c" + A_IN), FORMERR),
    Raw("a label of 64", message(LONG_LABEL + QUESTION), FORMERR),
    Raw("a name of 257", message(NAME_256 + A_IN), FORMERR),
    Raw("a name of 255 that is external", message(NAME_255 + A_IN), REFUSED),
    Raw("a name cut short", message(WEB[:9]), FORMERR),
    Raw("a name without its end", message(WEB[:-1]), FORMERR),
    Raw("no type", message(WEB), FORMERR),
    Raw("no class", message(WEB + b"\x00\x01"), FORMERR),
    Raw("an octet after the question", message(QUESTION + b"\x00"), FORMERR),
    Raw("a second question after the first", message(QUESTION * 2), FORMERR),
    Raw("an OPT that is not counted", message(QUESTION + opt()), FORMERR),
    # EDNS
    Raw("an octet after OPT", message(QUESTION + opt() + b"\x00", ar=1), FORMERR),
    Raw("two OPTs", message(QUESTION + opt() * 2, ar=2), FORMERR),
    Raw("OPT with an owner", message(QUESTION + b"\x01a" + opt(), ar=1), FORMERR),
    Raw("OPT with a pointer as owner", message(QUESTION + b"\xc0\x12" + opt()[1:], ar=1), FORMERR),
    Raw("OPT cut short", message(QUESTION + opt()[:-3], ar=1), FORMERR),
    Raw("an option cut short", message(QUESTION + opt(b"\x00\x0a\x00"), ar=1), FORMERR),
    Raw("an option that overruns", message(QUESTION + opt(b"\x00\x0a\x00\x09ab"), ar=1), FORMERR),
    Raw("version 1", message(QUESTION + opt(version=1), ar=1), BADVERS),
    Raw(
        "version 255 with options and DO",
        message(QUESTION + opt(option(65001, b"x"), version=255, flags=0x8000), ar=1),
        BADVERS,
    ),
    Raw("an unknown option", message(QUESTION + opt(option(65001, b"xyz")), ar=1), NOERROR, True),
    Raw("unknown flags", message(QUESTION + opt(flags=0x7FFF), ar=1), NOERROR, True),
    Raw("an extended RCODE in the query", message(QUESTION + opt(rcode=7), ar=1), NOERROR, True),
    Raw(
        "a client subnet",
        message(QUESTION + opt(option(8, b"\x00\x01\x18\x00\xc0\x00\x02")), ar=1),
        NOERROR,
        True,
    ),
    *(
        Raw(f"a client subnet: {what}", message(QUESTION + opt(option(8, data)), ar=1), FORMERR)
        for what, data in (
            ("empty", b""),
            ("family 3", b"\x00\x03\x18\x00\xc0\x00\x02"),
            ("prefix 33", b"\x00\x01\x21\x00\xc0\x00\x02\x01\x01"),
            ("prefix 129", b"\x00\x02\x81\x00" + bytes(17)),
            ("an octet too many", b"\x00\x01\x18\x00\xc0\x00\x02\x01"),
            ("an octet too few", b"\x00\x01\x18\x00\xc0\x00"),
            ("a scope", b"\x00\x01\x18\x18\xc0\x00\x02"),
            ("bits after the prefix", b"\x00\x01\x17\x00\xc0\x00\x03"),
        )
    ),
    Raw(
        "a record other than OPT",
        message(QUESTION + b"\x00\x00\x10\x00\x01" + bytes(4) + b"\x00\x02\x01a" + opt(), ar=2),
        NOERROR,
        True,
    ),
    Raw(
        "a record with missing data",
        message(QUESTION + b"\x00\x00\x10\x00\x01" + bytes(4) + b"\x00\x20\x01a", ar=1),
        FORMERR,
    ),
    # more records and options than queries have, up to the limits
    Raw("16 additional records", message(QUESTION + (b"\0" + TXT) * 16, ar=16), NOERROR, True),
    Raw("17 additional records", message(QUESTION + (b"\0" + TXT) * 17, ar=17), FORMERR),
    Raw("368 additional records", message(QUESTION + (b"\0" + TXT) * 368, ar=368), FORMERR),
    Raw("the longest owner", message(QUESTION + MOST_LABELS + TXT + opt(), ar=2), NOERROR, True),
    Raw("the longest owner twice", message(QUESTION + (MOST_LABELS + TXT) * 2, ar=2), FORMERR),
    Raw("32 options", message(QUESTION + opt(option(65001) * 32), ar=1), NOERROR, True),
    Raw("33 options", message(QUESTION + opt(option(65001) * 33), ar=1), FORMERR),
    Raw("1,009 options", message(QUESTION + opt(option(65001) * 1009), ar=1), FORMERR),
    Raw(
        "one option of 4,000 octets",
        message(QUESTION + opt(option(12, bytes(4000))), ar=1),
        0,
        True,
    ),
    Raw("IXFR with its SOA", message(WEB + b"\x00\xfb\x00\x01" + WEB + bytes(10), ns=1), FORMERR),
    Raw("IXFR", message(WEB + b"\x00\xfb\x00\x01"), REFUSED),
]

# The largest messages over TCP.
_ROOM = 65_535 - len(message(QUESTION + opt()))
LARGEST: list[Raw] = [
    Raw("one option", message(QUESTION + opt(option(12, bytes(_ROOM - 4))), ar=1), NOERROR, True),
    Raw("all options", message(QUESTION + opt(option(65001) * (_ROOM // 4)), ar=1), FORMERR),
    Raw("all records", message(QUESTION + (b"\0" + TXT) * (_ROOM // 11), ar=_ROOM // 11), FORMERR),
    Raw("all owners", message(QUESTION + (MOST_LABELS + TXT) * 16, ar=16), FORMERR),
]


def check(raw: Raw, reply: bytes | None) -> None:
    """Fail if `reply` is not the expected one."""
    if raw.rcode is None:
        assert reply is None
        return
    assert reply is not None
    assert reply[:2] == raw.packet[:2]
    assert reply[2] & 0x80
    assert reply[2] & 0x79 == raw.packet[2] & 0x79, "the reply has the opcode and RD of the query"
    assert reply[3] & 0x70 == 0, "Z, AD, and CD are clear"
    assert reply[3] & 0x80 == 0, "RA is clear, because the engine does not forward"
    assert reply[2] & 0x02 == 0
    if reply[2] & 0x78 == 0x28:  # a parser reads the sections of UPDATE differently
        assert reply[3] & 15 == raw.rcode
        return
    parsed = dns.message.from_wire(reply)
    assert parsed.rcode() == raw.rcode
    assert bool(parsed.answer) == raw.data
    assert bool(reply[2] & 0x04) == raw.data, "AA is set with data only"
    if parsed.edns >= 0:
        assert parsed.edns == 0
        assert parsed.payload == 1232
        assert parsed.ednsflags & 0x7FFF == 0
