"""Record data from text: cross-checked with dnspython, and refused with a reason."""

from __future__ import annotations

import dns.rdata
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.dns.names import name_from_text
from dnsd.dns.rdata import BadRecord, endpoint_rdatas, rdata_from_text, type_number
from dnsd.dns.text import rdata_text

ORIGIN = name_from_text("cluster.local.")
DIGEST = "ab" * 32
VALUES = [
    ("A", "192.0.2.7", "192.0.2.7"),
    ("AAAA", "2001:db8::7", "2001:db8::7"),
    ("CNAME", "web.prod.svc", "web.prod.svc.cluster.local."),
    ("CNAME", "Example.ORG.", "example.org."),
    ("NS", "ns1", "ns1.cluster.local."),
    ("PTR", "host.example.", "host.example."),
    ("TXT", 'v=spf1 "a b"', '"v=spf1" "a b"'),
    ("MX", "10 mail", "10 mail.cluster.local."),
    ("SRV", "0 5 443 api", "0 5 443 api.cluster.local."),
    ("CAA", '0 issue "ca.example"', '0 issue "ca.example"'),
    ("NAPTR", '100 10 "s" "SIP" "" rep', '100 10 "s" "SIP" "" rep.cluster.local.'),
    ("TLSA", f"3 1 1 {DIGEST}", f"3 1 1 {DIGEST}"),
    ("SSHFP", f"4 2 {DIGEST}", f"4 2 {DIGEST}"),
    ("DS", f"1 8 2 {DIGEST}", f"1 8 2 {DIGEST}"),
    ("RP", "me info", "me.cluster.local. info.cluster.local."),
    ("HTTPS", "1 . alpn=h2", '1 . alpn="h2"'),
    ("TYPE65280", "\\# 4 c0000207", "\\# 4 c0000207"),
]


def read(type_: str, value: str) -> bytes:
    return rdata_from_text(type_number(type_)[0], value, ORIGIN)


class TestPinnedValues:
    @pytest.mark.parametrize(("type_", "value", "text"), VALUES, ids=lambda one: str(one)[:12])
    def test_dnspython_reads_the_same_record(self, type_: str, value: str, text: str) -> None:
        rdata = read(type_, value)
        again = dns.rdata.from_wire("IN", dns.rdatatype.from_text(type_), rdata, 0, len(rdata))
        assert again.to_text() == text

    @pytest.mark.parametrize(
        ("type_", "value", "problem"),
        [
            ("A", "192.0.2.256", "'192.0.2.256' is not a value of type A: is not an IPv4 address"),
            ("A", "2001:db8::7", "IPv4"),
            ("AAAA", "192.0.2.7", "IPv6"),
            ("CNAME", "a..b", "empty label"),
            ("MX", "mail", "type MX"),
            ("MX", "x mail", "type MX"),
            ("SRV", "0 5 api", "PRIORITY WEIGHT PORT TARGET"),
            ("SRV", "0 5 65536 api", "not in 0 to 65535"),
            ("TXT", "a\nb IN A 192.0.2.1", "cannot be printed"),
            ("TXT", "x" * 5000, "5000 characters"),
            ("TYPE65280", "\\# 3 c0000207", "has 4 octets, not 3"),
            ("TYPE65280", "hello", "LENGTH HEX"),
        ],
    )
    def test_a_value_of_another_form_is_refused_with_the_reason(
        self, type_: str, value: str, problem: str
    ) -> None:
        with pytest.raises(BadRecord, match=problem):
            read(type_, value)

    @pytest.mark.parametrize("type_", ["SOA", "ANY", "OPT", "RRSIG", "AXFR", "NOPE", "TYPE0", ""])
    def test_meta_types_and_types_that_dnsd_makes_cannot_be_pinned(self, type_: str) -> None:
        with pytest.raises(BadRecord):
            type_number(type_)

    @settings(deadline=None, max_examples=200)
    @given(
        st.sampled_from(["TXT", "MX", "CAA", "SRV", "HTTPS", "NAPTR", "LOC", "TLSA", "TYPE999"]),
        st.text(max_size=40)
        | st.from_regex(r'[0-9]{1,3} [0-9]{1,3} "?[a-z]{0,3}"?', fullmatch=True),
    )
    def test_any_text_is_a_record_or_refused(self, type_: str, value: str) -> None:
        try:
            rdata = read(type_, value)
        except BadRecord:
            return
        assert rdata_text(type_number(type_)[0], rdata)
        if type_ in ("TXT", "MX", "SRV"):  # of the others dnspython checks more than the form
            dns.rdata.from_wire("IN", dns.rdatatype.from_text(type_), rdata, 0, len(rdata))


class TestEndpointTargets:
    @pytest.mark.parametrize(
        ("type_", "target", "text"),
        [
            ("A", "192.0.2.7", "192.0.2.7"),
            ("AAAA", "2001:db8::7", "2001:db8::7"),
            ("CNAME", "Example.ORG", "example.org."),
            ("MX", "10 mail.example.", "10 mail.example."),
            ("SRV", "0 5 443 api.example", "0 5 443 api.example."),
            ("TXT", 'v=spf1 "a" b', '"v=spf1 \\"a\\" b"'),
            ("TXT", '"quoted"', '"quoted"'),
        ],
    )
    def test_names_are_absolute_with_and_without_a_trailing_dot(
        self, type_: str, target: str, text: str
    ) -> None:
        number, (rdata,) = endpoint_rdatas(type_, [target])
        assert rdata_text(number, rdata) == text

    def test_a_long_txt_is_cut_into_strings_of_255_octets(self) -> None:
        _, (rdata,) = endpoint_rdatas("TXT", ["x" * 300])
        assert (rdata[0], rdata[256], len(rdata)) == (255, 45, 302)

    @pytest.mark.parametrize(
        ("type_", "targets", "problem"),
        [
            ("NS", ["ns.example."], "use A, AAAA, CNAME, MX, SRV, TXT"),
            ("A", [], "has 0 targets"),
            ("A", ["192.0.2.7", "host"], r"targets\[1\] 'host': is not an IPv4 address"),
            ("MX", ["mail.example."], "must be PREFERENCE TARGET"),
            ("SRV", ["0 5 65536 api."], "not in 0 to 65535"),
            ("CNAME", ["."], "is missing"),
            ("TXT", ["x" * 16_385], "the limit is 16384"),
        ],
    )
    def test_a_target_of_another_form_is_refused_with_the_reason(
        self, type_: str, targets: list[str], problem: str
    ) -> None:
        with pytest.raises(BadRecord, match=problem):
            endpoint_rdatas(type_, targets)
