"""Octets from an upstream: read in bounds, or refused. Cross-checked with dnspython."""

from __future__ import annotations

import dns.edns
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.dns.message import Malformed, is_recased, is_reply_to, query
from dnsd.dns.names import name_from_text
from dnsd.dns.records import Record, Writer, read_reply
from dnsd.dns.types import Type

RECORDS = (
    ("A", "192.0.2.1"),
    ("AAAA", "2001:db8::1"),
    ("NS", "ns.example."),
    ("CNAME", "web.example."),
    ("SOA", "ns.example. host.example. 1 2 3 4 5"),
    ("PTR", "web.example."),
    ("MX", "10 mail.example."),
    ("TXT", '"one" "two"'),
    ("SRV", "0 5 80 web.example."),
    ("NAPTR", '1 2 "u" "E2U+sip" "!^.*$!sip:a@example!" sip.example.'),
    ("DNAME", "other.example."),
    ("RP", "admin.example. txt.example."),
    ("AFSDB", "1 afs.example."),
    ("CAA", '0 issue "ca.example"'),
    ("HTTPS", '1 . alpn="h2"'),
    ("TYPE65000", "\\# 3 010203"),
    ("RRSIG", "A 8 2 60 20300101000000 20200101000000 1 example. AAAA"),
)


def message(*texts: str, authority: tuple[str, ...] = (), name: str = "www.example.") -> bytes:
    """A reply as dnspython writes it, compressed."""
    reply = dns.message.make_response(dns.message.make_query(name, "A"))
    for section, lines in ((reply.answer, texts), (reply.authority, authority)):
        for line in lines:
            owner, ttl, type_, rdata = line.split(None, 3)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", type_, rdata))
    return reply.to_wire(max_size=65535)


class TestReading:
    @pytest.mark.parametrize(("type_", "rdata"), RECORDS)
    def test_names_in_rdata_are_written_out(self, type_: str, rdata: str) -> None:
        reply = read_reply(message(f"www.example. 60 {type_} {rdata}"))
        (record,) = reply.answer
        expected = dns.rrset.from_text("www.example.", 60, "IN", type_, rdata)[0]
        assert record.name == name_from_text("www.example.")
        assert record.ttl == 60
        assert record.rdata == expected.to_wire()

    @pytest.mark.parametrize(("type_", "rdata"), RECORDS)
    def test_records_that_were_read_can_be_written_again(self, type_: str, rdata: str) -> None:
        data = message(
            f"www.example. 60 {type_} {rdata}",
            authority=("example. 9 SOA ns.example. host.example. 1 2 3 4 5",),
        )
        reply = read_reply(data)
        writer = Writer(name_from_text("www.example."))
        for record in reply.answer + reply.authority:
            writer.add(record)
        again = data[: 12 + 17] + bytes(writer.body)
        assert again[:2] == data[:2]
        parsed, original = dns.message.from_wire(again), dns.message.from_wire(data)
        assert (parsed.answer, parsed.authority) == (original.answer, original.authority)
        assert len(again) <= len(data) + 20  # compressed where it may be

    def test_ttls_with_the_top_bit_are_zero(self) -> None:
        data = message("www.example. 2147483647 A 192.0.2.1")
        assert read_reply(data).answer[0].ttl == 2**31 - 1
        data = data.replace(b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00")
        assert read_reply(data).answer[0].ttl == 0

    def test_extended_errors_and_rcode_from_opt(self) -> None:
        reply = dns.message.make_response(dns.message.make_query("a.example.", "A", use_edns=0))
        reply.use_edns(0, options=[dns.edns.EDEOption(6, "bo\x07gus"), dns.edns.EDEOption(9, None)])
        reply.set_rcode(dns.rcode.BADVERS)
        read = read_reply(reply.to_wire())
        assert read.errors == ((6, "bogus"), (9, ""))
        assert read.rcode == 16

    def test_other_classes_are_left_out(self) -> None:
        data = message("www.example. 60 A 192.0.2.1", "www.example. 60 TXT x")
        at = data.index(b"\x00\x10\x00\x01")
        assert len(read_reply(data[: at + 3] + b"\x03" + data[at + 4 :]).answer) == 1


QUESTION = b"\x03www\x07example\x00\x00\x01\x00\x01"
HEADER = b"\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
FIXED = b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"


class TestRefusing:
    @pytest.mark.parametrize(
        ("owner", "problem"),
        [
            (b"\xc0\x1d", "backwards"),  # to itself
            (b"\xc0\xff", "backwards"),  # forward
            (b"\xc0\x02", "backwards"),  # into the header
            (b"\x01a\xc0\x1d", "backwards"),  # to its own beginning
            (b"\x40a", "label type"),
            (b"\x80a", "label type"),
            (b"\x09aaaaaaaaa\xc0", "label type"),  # its second octet is missing
        ],
    )
    def test_an_owner_with_a_bad_pointer_or_label_type_is_malformed(
        self, owner: bytes, problem: str
    ) -> None:
        with pytest.raises(Malformed, match=problem):
            read_reply(HEADER + QUESTION + owner + (FIXED if len(owner) < 11 else b""))

    def test_a_name_over_255_octets_by_pointers_is_malformed(self) -> None:
        part = b"\x3f" + b"a" * 63
        first = part * 3 + b"\x00"
        body = first + FIXED + (part + b"\xc0\x1d") + FIXED
        header = HEADER[:6] + b"\x00\x02" + HEADER[8:]
        with pytest.raises(Malformed, match="255"):
            read_reply(header + QUESTION + body)

    @pytest.mark.parametrize("count", [b"\xff\xff", b"\x00\x02"])
    def test_counts_that_the_octets_cannot_hold_are_malformed(self, count: bytes) -> None:
        with pytest.raises(Malformed):
            read_reply(HEADER[:6] + count + HEADER[8:] + QUESTION + b"\xc0\x0c" + FIXED)

    @pytest.mark.parametrize("octets", [b"", b"\x00" * 11, b"\x00" * 70_000])
    def test_octets_of_a_wrong_length_are_not_a_message(self, octets: bytes) -> None:
        with pytest.raises(Malformed):
            read_reply(octets)

    def test_octets_after_the_last_record_are_malformed(self) -> None:
        with pytest.raises(Malformed, match="after"):
            read_reply(HEADER + QUESTION + b"\xc0\x0c" + FIXED + b"\x00")

    def test_an_address_of_the_wrong_size_is_malformed(self) -> None:
        fixed = FIXED[:8] + b"\x00\x03" + FIXED[10:13]
        with pytest.raises(Malformed, match="address"):
            read_reply(HEADER + QUESTION + b"\xc0\x0c" + fixed)

    @given(st.data())
    @settings(deadline=None, max_examples=300)
    def test_any_mutation_is_read_or_refused(self, data: st.DataObject) -> None:
        octets = bytearray(message(*(f"www.example. 60 {t} {r}" for t, r in RECORDS)))
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(octets) - 1))
            octets[at] = data.draw(st.sampled_from([0, 1, 63, 64, 192, 255, octets[at] ^ 1]))
        octets = octets[: data.draw(st.integers(0, len(octets)))]
        try:
            reply = read_reply(bytes(octets))
        except Malformed:
            return
        for record in reply.answer + reply.authority:
            assert len(record.name) <= 255
            assert 0 <= record.ttl < 2**31

    def test_a_full_message_of_addresses_is_read(self) -> None:
        data = message(*(f"www.example. 60 A 192.0.{n >> 8}.{n & 255}" for n in range(3_900)))
        assert len(read_reply(data).answer) == 3_900

    def test_names_that_cost_too_many_steps_together_are_malformed(self) -> None:
        names = (b"\x01a" * 126 + b"\x00") * 60  # as the data of a type without names
        first = b"\xc0\x0c\xff\x00\x00\x01" + bytes(4) + len(names).to_bytes(2, "big") + names
        start = len(HEADER + QUESTION) + 12
        owners = [
            (0xC000 | start + block * 253 + label * 2).to_bytes(2, "big")
            for block in range(60)
            for label in range(20)
        ]
        body = first + b"".join(owner + FIXED for owner in owners)
        count = (1 + len(owners)).to_bytes(2, "big")
        with pytest.raises(Malformed, match="steps"):
            read_reply(HEADER[:6] + count + HEADER[8:] + QUESTION + body)


class TestMatching:
    def test_a_reply_has_qr_and_the_id_and_question_of_the_query(self) -> None:
        data = message("www.example. 60 A 192.0.2.1")
        assert is_reply_to(data, data[:2], QUESTION)
        assert not is_reply_to(data, bytes((data[0] ^ 1, data[1])), QUESTION)
        assert not is_reply_to(data, data[:2], QUESTION[:-3] + b"\x1c\x00\x01")
        assert not is_reply_to(data, data[:2], QUESTION.replace(b"w", b"W", 1))
        assert not is_reply_to(bytes((*data[:2], data[2] & 0x7F)) + data[3:], data[:2], QUESTION)
        assert not is_reply_to(data[:20], data[:2], QUESTION)

    def test_recased_differs_in_case_only(self) -> None:
        data = message("www.example. 60 A 192.0.2.1")
        assert is_recased(data, data[:2], QUESTION.replace(b"w", b"W", 1))
        assert not is_recased(data, data[:2], QUESTION.replace(b"w", b"x", 1))


class TestQuery:
    def test_dnspython_reads_a_query(self) -> None:
        parsed = dns.message.from_wire(query(b"\x12\x34", QUESTION, do=True, cd=True))
        assert (parsed.id, parsed.flags, parsed.payload) == (0x1234, 0x0110, 1232)
        assert parsed.ednsflags & 0x8000
        assert parsed.question[0].to_text() == "www.example. IN A"

    def test_a_query_of_size_0_has_no_opt_record(self) -> None:
        assert dns.message.from_wire(query(b"\x12\x34", QUESTION, size=0)).edns == -1


class TestWriter:
    def test_a_pointer_leads_to_the_first_16383_octets_only(self) -> None:
        name = name_from_text("www.example.")
        writer = Writer(name)
        for number in range(700):
            owner = name_from_text(f"a-long-name-number-{number}.example.")
            writer.add(Record(owner, Type.A, 60, b"\xc0\x00\x02\x01"))
        for number in (0, 690, 699):
            owner = name_from_text(f"a-long-name-number-{number}.example.")
            writer.add(Record(owner, Type.AAAA, 60, bytes(16)))
        header = b"\x00\x01\x80\x00\x00\x01" + (703).to_bytes(2, "big") + b"\x00\x00\x00\x00"
        parsed = dns.message.from_wire(header + name + b"\x00\x01\x00\x01" + bytes(writer.body))
        assert sum(len(rrset) for rrset in parsed.answer) == 703
        assert len(parsed.answer) == 703

    def test_the_writer_has_the_offset_of_each_ttl(self) -> None:
        writer = Writer(name_from_text("www.example."))
        writer.add(
            Record(name_from_text("www.example."), Type.CNAME, 7, name_from_text("b.example."))
        )
        writer.add(Record(name_from_text("b.example."), Type.A, 9, b"\xc0\x00\x02\x01"))
        assert [int.from_bytes(writer.body[at : at + 4], "big") for at in writer.ttls] == [7, 9]
