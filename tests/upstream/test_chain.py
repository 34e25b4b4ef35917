"""Which records of a reply are kept: the CNAME chain of the question, and proofs with DO."""

from __future__ import annotations

import pytest

from dnsd.dns.message import Rcode
from dnsd.dns.names import name_from_text, text_of
from dnsd.dns.records import Reply, read_reply
from dnsd.dns.types import Type
from dnsd.upstream.chain import Answer, Unusable, along_chain
from tests.dns.test_records import message

WWW = name_from_text("www.example.")
SOA = "example. 300 SOA ns.example. host.example. 1 2 3 4 60"
SIG = "8 2 60 20300101000000 20200101000000 1 example. AAAA"


def answer_of(
    *answer: str,
    authority: tuple[str, ...] = (),
    do: bool = False,
    type_: int = Type.A,
    away: str = "nowhere.",
) -> Answer:
    reply = read_reply(message(*answer, authority=authority))
    return along_chain(reply, WWW, type_, do, lambda name: not name.endswith(name_from_text(away)))


def kept(answer: Answer) -> list[tuple[str, int]]:
    return [(text_of(record.name), record.type) for record in answer.answer]


def test_order_in_the_message_does_not_matter() -> None:
    answer = answer_of("b.example. 1 A 192.0.2.1", "www.example. 1 CNAME b.example.")
    assert kept(answer) == [("www.example.", Type.CNAME), ("b.example.", Type.A)]
    assert not answer.negative


def test_case_does_not_matter() -> None:
    answer = answer_of("WWW.example. 1 CNAME B.example.", "b.EXAMPLE. 1 A 192.0.2.1")
    assert len(answer.answer) == 2


def test_a_second_cname_of_a_name_is_left_out() -> None:
    answer = answer_of(
        "www.example. 1 CNAME b.example.",
        "www.example. 1 CNAME c.example.",
        "b.example. 1 A 192.0.2.1",
    )
    assert len(answer.answer) == 2


def test_records_after_the_chain_leaves_the_route_are_ignored() -> None:
    answer = answer_of(
        "www.example. 1 CNAME b.other.",
        "b.other. 1 A 192.0.2.1",
        away="other.",
    )
    assert kept(answer) == [("www.example.", Type.CNAME)]
    assert answer.leads_to == name_from_text("b.other.")


def test_a_chain_that_ends_without_an_soa_continues_elsewhere() -> None:
    assert answer_of("www.example. 1 CNAME b.example.").leads_to == name_from_text("b.example.")


def test_a_chain_that_ends_with_an_soa_is_nodata() -> None:
    answer = answer_of("www.example. 1 CNAME b.example.", authority=(SOA,))
    assert (answer.leads_to, answer.negative, answer.negative_ttl) == (b"", True, 60)


def test_an_soa_of_another_zone_is_left_out() -> None:
    answer = answer_of(authority=(SOA.replace("example.", "other.", 1),))
    assert answer.negative_ttl is None
    assert not answer.authority


def test_a_query_for_cname_ends_at_the_cname() -> None:
    answer = answer_of("www.example. 1 CNAME b.example.", type_=Type.CNAME)
    assert (len(answer.answer), answer.leads_to, answer.negative) == (1, b"", False)


def test_any_returns_all_records_of_the_name() -> None:
    answer = answer_of("www.example. 1 A 192.0.2.1", "www.example. 1 TXT x", type_=Type.ANY)
    assert len(answer.answer) == 2


def test_signatures_and_proofs_with_do_only() -> None:
    lines = (
        "www.example. 1 CNAME b.example.",
        f"www.example. 1 RRSIG CNAME {SIG}",
        "b.example. 1 A 192.0.2.1",
        f"b.example. 1 RRSIG A {SIG}",
        f"b.example. 1 RRSIG TXT {SIG}",
    )
    authority = ("example. 1 NSEC z.example. A", f"example. 1 RRSIG NSEC {SIG}", SOA)
    assert len(answer_of(*lines, authority=authority).answer) == 2
    answer = answer_of(*lines, authority=authority, do=True)
    assert [type_ for _, type_ in kept(answer)] == [Type.CNAME, 46, Type.A, 46]
    assert [record.type for record in answer.authority] == [47, 46]


def test_the_dname_behind_a_cname_with_do() -> None:
    lines = ("example. 1 DNAME other.", "www.example. 1 CNAME www.other.", "www.other. 1 A 1.2.3.4")
    assert [type_ for _, type_ in kept(answer_of(*lines, do=True))] == [39, Type.CNAME, Type.A]
    assert [type_ for _, type_ in kept(answer_of(*lines))] == [Type.CNAME, Type.A]


def test_a_loop_is_refused() -> None:
    with pytest.raises(Unusable):
        answer_of("www.example. 1 CNAME b.example.", "b.example. 1 CNAME www.example.")


def test_nxdomain_belongs_to_the_last_name() -> None:
    reply = read_reply(message("www.example. 1 CNAME b.example.", authority=(SOA,)))
    reply = Reply(Rcode.NXDOMAIN, reply.answer, reply.authority)
    answer = along_chain(reply, WWW, Type.A, False, lambda name: True)
    assert (answer.rcode, answer.negative) == (Rcode.NXDOMAIN, True)
    away = along_chain(reply, WWW, Type.A, False, lambda name: False)
    assert (away.rcode, away.leads_to) == (Rcode.NOERROR, name_from_text("b.example."))
