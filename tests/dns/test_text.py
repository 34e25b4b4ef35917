"""RRsets as zone-file text: dnspython reads back the same."""

from __future__ import annotations

import dns.name
import dns.rdata
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.dns.names import labels_of, name_from_text, name_of
from dnsd.dns.rrset import rrset
from dnsd.dns.text import canonical, rdata_text, rrset_text
from dnsd.dns.types import Type


def wire(thing: dns.rdata.Rdata) -> bytes:
    out = thing.to_wire()
    assert out is not None
    return out


class TestCanonicalOrder:
    def test_names_are_ordered_as_in_the_example_of_rfc4034_6_1(self) -> None:
        example = "example. a.example. yljkjljk.a.example. Z.a.example. zABC.a.EXAMPLE. "
        example += "z.example. \\001.z.example. *.z.example. \\200.z.example."
        names = [
            dns.name.from_text(text).canonicalize().to_wire() or b"" for text in example.split()
        ]
        assert sorted(names, key=canonical) == names


class TestRdataText:
    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("A", "10.0.0.1"),
            ("AAAA", "fd00::1"),
            ("NS", "ns.dns.cluster.local."),
            ("CNAME", "a\\.b.example."),
            ("SRV", "0 100 80 web.default.svc.cluster.local."),
            ("TXT", '"1.1.0"'),
            ("TXT", '"say \\"hi\\"" "\\\\" "\\001\\255" ""'),
            ("MX", "10 mail.example."),
            ("CAA", '0 issue "ca.example"'),
            ("TYPE65300", "\\# 3 0a0b0c"),
            ("TYPE65300", "\\# 0"),
        ],
    )
    def test_the_text_is_the_presentation_form(self, kind: str, text: str) -> None:
        parsed = dns.rdata.from_text("IN", kind, text)
        assert rdata_text(parsed.rdtype, wire(parsed)) == text

    def test_rdata_that_its_type_does_not_allow_takes_the_generic_form(self) -> None:
        assert rdata_text(Type.MX, b"\x00") == "\\# 1 00"

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.binary(max_size=30), min_size=1, max_size=3))
    def test_dnspython_reads_any_txt_back(self, strings: list[bytes]) -> None:
        rdata = b"".join(bytes([len(one)]) + one for one in strings)
        text = rdata_text(Type.TXT, rdata)
        assert dns.rdata.from_text("IN", "TXT", text).to_wire() == rdata

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.binary(min_size=1, max_size=20), max_size=5))
    def test_dnspython_reads_any_srv_target_back(self, labels: list[bytes]) -> None:
        target = name_of(*labels)
        assert len(list(labels_of(target))) == len(labels)
        rdata = b"\x00\x01\x00\x02\x00\x03" + target
        assert dns.rdata.from_text("IN", "SRV", rdata_text(Type.SRV, rdata)).to_wire() == rdata


def test_each_record_of_an_rrset_has_a_line() -> None:
    one = rrset(name_from_text("web.example."), Type.A, 5, [b"\xc0\0\2\2", b"\xc0\0\2\1"])
    assert list(rrset_text(one)) == [
        "web.example.\t5\tIN\tA\t192.0.2.1\n",
        "web.example.\t5\tIN\tA\t192.0.2.2\n",
    ]
