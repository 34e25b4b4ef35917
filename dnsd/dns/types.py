"""Resource record and query types (IANA "DNS Parameters").

In `dns/` (wire format, no I/O). Change here: which types have a name in dnsd.
"""

from __future__ import annotations

from enum import IntEnum


class Type(IntEnum):
    """The record and query types that the code of dnsd mentions."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    HINFO = 13
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    SVCB = 64
    HTTPS = 65
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255


def type_text(type_: int) -> str:
    """`A`, `AAAA`, …, or `TYPE1000` for a type without a name here (RFC 3597 5)."""
    try:
        return Type(type_).name
    except ValueError:
        return f"TYPE{type_}"
