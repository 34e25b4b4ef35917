"""The reply a client gets, put together from parts.

The question goes back as it was asked, the OPT carries what the engine said it has to, and
extended errors only where there is an OPT to carry them (RFC 8914 2). A reply over the
client's limit has TC and, when the question is in our own zones, our own CNAMEs as far as
they fit: they are whole RRsets, and they are what we know best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from dnsd.answer.outcome import Forward
from dnsd.dns.message import HEADER, QR, RD, Ede, Option, Rcode, opt_record, option, reply_header
from dnsd.dns.records import Record, Writer, read_reply
from dnsd.upstream.chain import Part

Errors = tuple[tuple[int, str], ...]
_MAX_ERRORS = 4


class Answer(Struct, frozen=True):
    """What a client is told: the sections, and the extended errors that explain them."""

    rcode: int
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    errors: Errors = ()


def answer_of(part: Part) -> Answer:
    """A part that is complete, as an answer."""
    return Answer(part.rcode, part.answer, part.authority, part.errors)


def own_chain(ask: Forward) -> tuple[Record, ...]:
    """The CNAMEs of our own zones that the question has already gone along."""
    if not ask.chained:
        return ()
    count = ask.chained.to_bytes(2, "big")
    start = bytes((0, 0, QR | RD, 0)) + b"\x00\x01" + count + b"\x00\x00\x00\x00"
    return read_reply(start + ask.question + ask.chain).answer


def opt_of(ask: Forward, size: int, errors: Iterable[tuple[int, str]] = ()) -> bytes:
    """The OPT record of the reply, empty when the query had none."""
    if not ask.edns:
        return b""
    options = ask.options
    for code, text in list(dict.fromkeys(errors))[:_MAX_ERRORS]:
        options += option(Option.EDE, code.to_bytes(2, "big") + text.encode())
    return opt_record(size, ask.do, options=options)


def compose(ask: Forward, answer: Answer, size: int) -> bytes:
    """The reply to `ask`; `size` is the EDNS size we announce."""
    opt = opt_of(ask, size, answer.errors)
    room = ask.limit - HEADER - len(ask.question) - len(opt)
    body = _body(ask, answer.answer, answer.authority)
    if len(body) > room and answer.errors:
        # Extended errors are the first to go: they explain, they do not answer.
        opt = opt_of(ask, size)
        room = ask.limit - HEADER - len(ask.question) - len(opt)
    if len(body) <= room:
        counts = len(answer.answer), len(answer.authority)
        return _message(ask, answer.rcode, counts, body, opt, tc=False)
    chain = own_chain(ask)
    body = _body(ask, chain, ())
    if len(body) > room:
        chain, body = (), b""
    return _message(ask, answer.rcode, (len(chain), 0), body, opt, tc=True)


def _body(ask: Forward, answer: Sequence[Record], authority: Sequence[Record]) -> bytes:
    writer = Writer(ask.question[:-4])
    for record in (*answer, *authority):
        writer.add(record)
    return bytes(writer.body)


def _message(
    ask: Forward, rcode: int, counts: tuple[int, int], body: bytes, opt: bytes, tc: bool
) -> bytes:
    tail = b"".join(count.to_bytes(2, "big") for count in (*counts, 1 if opt else 0))
    head = reply_header(
        ask.packet[:2], rcode=rcode, rd=ask.rd, cd=ask.cd, aa=ask.local, tc=tc, counts=tail
    )
    return head + ask.question + body + opt


def servfail(code: Ede, text: str, more: Errors = ()) -> Answer:
    """SERVFAIL, with the reason."""
    return Answer(Rcode.SERVFAIL, errors=((int(code), text), *more))
