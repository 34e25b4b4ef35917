"""The reply to a client, composed from its query and an answer.

In `upstream/` (data plane: external names). Change here: sections, truncation, and extended errors.

The question goes back as it was received. The OPT record carries the options that the engine
determined, and extended errors only if the query had an OPT record (RFC 8914 2). A reply over the
client's limit has TC. If the question is in the zones of dnsd, it keeps the CNAMEs of these zones
if they fit: they are whole RRsets.
"""

from __future__ import annotations

from struct import pack

from msgspec.structs import replace

from dnsd.answer.outcome import Forward
from dnsd.dns.message import AA, CD, QR, RA, RD, TC, Ede, Rcode, ede, opt_record
from dnsd.dns.records import Record, Writer, read_reply
from dnsd.upstream.chain import Answer

_MAX_ERRORS = 4


def own_chain(forward: Forward) -> tuple[Record, ...]:
    """The CNAMEs of the zones of dnsd that led to the name of this query."""
    if not forward.chained:
        return ()
    count = forward.chained.to_bytes(2, "big")
    start = bytes((0, 0, QR | RD, 0)) + b"\x00\x01" + count + b"\x00\x00\x00\x00"
    return read_reply(start + forward.question + forward.chain).answer


def compose(forward: Forward, answer: Answer, size: int) -> bytes:
    """The reply to `forward`; `size` is the EDNS size of dnsd."""
    reply = _message(forward, answer, size)
    if len(reply) > forward.limit and answer.errors:
        # Extended errors are dropped first, because they only explain the answer.
        answer = replace(answer, errors=())
        reply = _message(forward, answer, size)
    if len(reply) <= forward.limit:
        return reply
    for records in (own_chain(forward), ()):
        cut = replace(answer, answer=records, authority=())
        reply = _message(forward, cut, size, tc=TC)
        if len(reply) <= forward.limit:
            break
    return reply


def _message(forward: Forward, answer: Answer, size: int, tc: int = 0) -> bytes:
    writer = Writer(forward.question[:-4])
    for record in (*answer.answer, *answer.authority):
        writer.add(record)
    opt = b""
    if forward.edns:
        errors = list(dict.fromkeys(answer.errors))[:_MAX_ERRORS]
        options = forward.options + b"".join(ede(code, text) for code, text in errors)
        opt = opt_record(size, forward.do, options=options)
    flags = bytes(
        (
            QR | tc | (RD if forward.rd else 0) | (AA if forward.local else 0),
            RA | (CD if forward.cd else 0) | (answer.rcode & 0x0F),
        )
    )
    counts = pack("!4H", 1, len(answer.answer), len(answer.authority), bool(opt))
    return b"".join((forward.packet[:2], flags, counts, forward.question, writer.body, opt))


def servfail(code: Ede, text: str) -> Answer:
    """SERVFAIL with the reason."""
    return Answer(Rcode.SERVFAIL, errors=((int(code), text),))
