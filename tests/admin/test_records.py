"""Pinned records: what is one, what is kept, and who is in the way."""

from __future__ import annotations

import stat
from pathlib import Path

import dns.rdata
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.admin.rdata import type_number
from dnsd.admin.records import FILE, BadRecord, Conflict, Record, Records, key_of, parsed, record_of
from dnsd.dns.names import name_from_text, text_of
from dnsd.dns.types import Type, type_text
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.text import rdata_text
from tests.answer.building import ZONE, ask, engine_of, pipeline_of
from tests.cases import cluster


def record(type_: str, *values: str, name: str = "api", **more: object) -> Record:
    return record_of(ZONE, name, type_, 30, values, **more)


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


class TestValues:
    @pytest.mark.parametrize(("type_", "value", "text"), VALUES, ids=lambda one: str(one)[:12])
    def test_somebody_else_reads_the_same(self, type_: str, value: str, text: str) -> None:
        made = parsed(record(type_, value))
        (rdata,) = made.rdatas
        read = dns.rdata.from_wire("IN", dns.rdatatype.from_text(type_), rdata, 0, len(rdata))
        assert read.to_text() == text
        assert (made.ttl, text_of(made.name)) == (30, "api.cluster.local.")

    @pytest.mark.parametrize(
        ("type_", "value", "problem"),
        [
            ("A", "192.0.2.256", "is no A value"),
            ("A", "2001:db8::7", "other family"),
            ("AAAA", "192.0.2.7", "other family"),
            ("CNAME", "a..b", "empty label"),
            ("MX", "mail", "is no MX value"),
            ("MX", "x mail", "is no MX value"),
            ("SRV", "0 5 api", "PRIORITY WEIGHT PORT TARGET"),
            ("SRV", "0 5 65536 api", "not in 0 to 65535"),
            ("TXT", "a\nb IN A 192.0.2.1", "cannot be printed"),
            ("TXT", "x" * 5000, "5000 characters"),
            ("TYPE65280", "\\# 3 c0000207", "has 4 octets, not 3"),
            ("TYPE65280", "hello", "LENGTH HEX"),
        ],
    )
    def test_what_is_none_says_why(self, type_: str, value: str, problem: str) -> None:
        with pytest.raises(BadRecord, match=problem):
            parsed(record(type_, value))

    @pytest.mark.parametrize("type_", ["SOA", "ANY", "OPT", "RRSIG", "AXFR", "NOPE", "TYPE0", ""])
    def test_types_that_cannot_be_pinned(self, type_: str) -> None:
        with pytest.raises(BadRecord):
            type_number(type_)

    @pytest.mark.parametrize("name", ["x" * 64, "a..b", "api.example.org.", "é"])
    def test_names_that_do_not_lie_there(self, name: str) -> None:
        with pytest.raises(BadRecord):
            record("A", "192.0.2.7", name=name)

    def test_bounds(self) -> None:
        with pytest.raises(BadRecord, match="ttl"):
            parsed(record_of(ZONE, "api", "A", -1, ["192.0.2.7"]))
        with pytest.raises(BadRecord, match="values"):
            parsed(record("A"))
        with pytest.raises(BadRecord, match="one value"):
            parsed(record("CNAME", "a", "b"))

    @settings(deadline=None, max_examples=200)
    @given(
        st.sampled_from(["TXT", "MX", "CAA", "SRV", "HTTPS", "NAPTR", "LOC", "TLSA", "TYPE999"]),
        st.text(max_size=40)
        | st.from_regex(r'[0-9]{1,3} [0-9]{1,3} "?[a-z]{0,3}"?', fullmatch=True),
    )
    def test_whatever_the_text_it_is_a_record_or_refused(self, type_: str, value: str) -> None:
        try:
            made = parsed(record(type_, value))
        except BadRecord:
            return
        (rdata,) = made.rdatas
        assert rdata_text(made.type, rdata)
        if type_ in ("TXT", "MX", "SRV"):  # of the others dnspython checks more than the form
            dns.rdata.from_wire("IN", made.type, rdata, 0, len(rdata))


class TestZone:
    def put(self, pipeline: Pipeline, one: Record, directory: str = "") -> Records:
        records = Records(directory)
        records.put(one, pipeline.zone, pipeline.put)
        return records

    def test_it_is_answered(self) -> None:
        pipeline = pipeline_of([])
        self.put(pipeline, record("A", "192.0.2.7", "192.0.2.8"))
        answer = ask(engine_of(pipeline), "api.cluster.local.").answer[0]
        assert sorted(one.to_text() for one in answer) == ["192.0.2.7", "192.0.2.8"]
        assert answer.ttl == 30

    def test_it_can_be_taken_back(self) -> None:
        pipeline = pipeline_of([])
        one = record("A", "192.0.2.7")
        records = self.put(pipeline, one)
        records.delete(one.key, "me", 1.0, pipeline.put)
        assert not pipeline.zone.exists(name_from_text("api.cluster.local."))
        assert records.all() == []
        with pytest.raises(KeyError):
            records.delete(one.key, "me", 1.0, pipeline.put)

    def test_a_service_is_in_the_way_unless_forced(self) -> None:
        pipeline = pipeline_of(cluster.objects())
        records = Records("")
        mine = record("A", "192.0.2.7", name="web.prod.svc")
        with pytest.raises(Conflict, match="belongs to Service prod/web") as caught:
            records.put(mine, pipeline.zone, pipeline.put)
        assert caught.value.forceable
        assert records.all() == []
        forced = record("A", "192.0.2.7", name="web.prod.svc", forced=True)
        change, others = records.put(forced, pipeline.zone, pipeline.put)
        assert change is not None
        assert [str(one) for one in others] == ["Service prod/web"]
        found = pipeline.zone.rrset(name_from_text(mine.name), Type.A)
        assert found is not None
        assert len(found.rdatas) == 2
        assert [str(one) for one in records.conflicts(pipeline.zone, forced.key)] == [
            "Service prod/web"
        ]

    def test_a_cname_stands_alone(self) -> None:
        pipeline = pipeline_of([])
        records = self.put(pipeline, record("A", "192.0.2.7"))
        with pytest.raises(Conflict, match="stands alone") as caught:
            records.put(record("CNAME", "web", forced=True), pipeline.zone, pipeline.put)
        assert not caught.value.forceable
        records.put(record("TXT", "fine"), pipeline.zone, pipeline.put)

    def test_what_dnsd_makes_itself(self) -> None:
        pipeline = pipeline_of([])
        for one in (
            record("A", "192.0.2.7", name="ns.dns", forced=True),
            record("TXT", "2", name="dns-version", forced=True),
            record("CNAME", "x", name="@", forced=True),
        ):
            with pytest.raises(Conflict):
                Records("").put(one, pipeline.zone, pipeline.put)
        self.put(pipeline, record("MX", "10 mail", name="@"))

    def test_srv_brings_the_addresses_of_its_target(self) -> None:
        pipeline = pipeline_of([])
        self.put(pipeline, record("A", "192.0.2.7"))
        self.put(pipeline, record("SRV", "0 5 443 API", name="_https._tcp"))
        reply = ask(engine_of(pipeline), "_https._tcp.cluster.local.", "SRV")
        assert reply.additional[0][0].to_text() == "192.0.2.7"


class TestFile:
    def test_they_outlive_a_restart(self, tmp_path: Path) -> None:
        pipeline = pipeline_of([])
        records = Records(str(tmp_path))
        for type_, value, _ in VALUES:
            one = record(type_, value, name=f"of-{type_.lower()}", by="me", at=5.0)
            records.put(one, pipeline.zone, pipeline.put)
        assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
        again, other = Records(str(tmp_path)), pipeline_of([])
        assert again.all() == records.all()
        again.apply(other.put)
        assert set(other.zone.names()) == set(pipeline.zone.names())
        found = other.zone.rrset(name_from_text("of-mx.cluster.local."), Type.MX)
        assert found == pipeline.zone.rrset(name_from_text("of-mx.cluster.local."), Type.MX)

    def test_a_damaged_file_is_not_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / FILE).write_text('[{"zone": 1}')
        with pytest.raises(BadRecord, match="damaged"):
            Records(str(tmp_path))
        assert (tmp_path / FILE).read_text() == '[{"zone": 1}'

    def test_one_that_cannot_be_kept_is_not_pinned(self, tmp_path: Path) -> None:
        pipeline = pipeline_of([])
        records = Records(str(tmp_path / "gone"))
        with pytest.raises(OSError, match="No such file"):
            records.put(record("A", "192.0.2.7"), pipeline.zone, pipeline.put)
        assert records.all() == []
        assert not pipeline.zone.exists(name_from_text("api.cluster.local."))

    def test_keys(self) -> None:
        one = record("a", "192.0.2.7")
        assert one.key == key_of("cluster.local.", "api.cluster.local.", "A")
        assert type_text(parsed(one).type) == one.type
