"""The reply to a client, composed from its query and an answer.

In `upstream/` (data plane: external names). Change here: sections, truncation, and extended errors.

The question goes back as it was received. The OPT record carries the options that the engine
determined, and extended errors only if the query had an OPT record (RFC 8914 2). A reply over the
client's limit has TC. If the question is in the zones of dnsd, it keeps the CNAMEs of these zones
if they fit: they are whole RRsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dnsd.answer.outcome import Forward
from dnsd.dns.message import HEADER, QR, RD, Ede, Rcode, ede, opt_record, reply_header
from dnsd.dns.records import Record, Writer, read_reply
from dnsd.upstream.chain import Answer

Errors = tuple[tuple[int, str], ...]
_MAX_ERRORS = 4


def own_chain(forward: Forward) -> tuple[Record, ...]:
    """The CNAMEs of the zones of dnsd that led to the name of this query."""
    if not forward.chained:
        return ()
    count = forward.chained.to_bytes(2, "big")
    start = bytes((0, 0, QR | RD, 0)) + b"\x00\x01" + count + b"\x00\x00\x00\x00"
    return read_reply(start + forward.question + forward.chain).answer


def opt_of(forward: Forward, size: int, errors: Iterable[tuple[int, str]] = ()) -> bytes:
    """The OPT record of the reply; empty if the query had none."""
    if not forward.edns:
        return b""
    options = forward.options
    for code, text in list(dict.fromkeys(errors))[:_MAX_ERRORS]:
        options += ede(code, text)
    return opt_record(size, forward.do, options=options)


def compose(forward: Forward, answer: Answer, size: int) -> bytes:
    """The reply to `forward`; `size` is the EDNS size of dnsd."""
    opt = opt_of(forward, size, answer.errors)
    room = forward.limit - HEADER - len(forward.question) - len(opt)
    body = _body(forward, answer.answer, answer.authority)
    if len(body) > room and answer.errors:
        # Extended errors are dropped first, because they only explain the answer.
        opt = opt_of(forward, size)
        room = forward.limit - HEADER - len(forward.question) - len(opt)
    if len(body) <= room:
        counts = len(answer.answer), len(answer.authority)
        return _message(forward, answer.rcode, counts, body, opt, tc=False)
    chain = own_chain(forward)
    body = _body(forward, chain, ())
    if len(body) > room:
        chain, body = (), b""
    return _message(forward, answer.rcode, (len(chain), 0), body, opt, tc=True)


def _body(forward: Forward, answer: Sequence[Record], authority: Sequence[Record]) -> bytes:
    writer = Writer(forward.question[:-4])
    for record in (*answer, *authority):
        writer.add(record)
    return bytes(writer.body)


def _message(
    forward: Forward, rcode: int, counts: tuple[int, int], body: bytes, opt: bytes, tc: bool
) -> bytes:
    tail = b"".join(count.to_bytes(2, "big") for count in (*counts, 1 if opt else 0))
    head = reply_header(
        forward.packet[:2],
        rcode=rcode,
        rd=forward.rd,
        cd=forward.cd,
        aa=forward.local,
        tc=tc,
        counts=tail,
    )
    return head + forward.question + body + opt


def servfail(code: Ede, text: str, more: Errors = ()) -> Answer:
    """SERVFAIL with the reason."""
    return Answer(Rcode.SERVFAIL, errors=((int(code), text), *more))
