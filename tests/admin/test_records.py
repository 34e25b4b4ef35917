"""Pinned records: validation, conflicts, and the file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dnsd.admin.records import FILE, Conflict, Record, Records, conflicts, key_of, parsed, record_of
from dnsd.dns.names import name_from_text
from dnsd.dns.rdata import BadRecord
from dnsd.dns.types import Type, type_text
from dnsd.zone.pipeline import Pipeline
from tests.answer.building import ZONE, engine_of, pipeline_of, reply_to
from tests.cases import cluster
from tests.dns.test_rdata import VALUES


def record(type_: str, *values: str, name: str = "api", **more: object) -> Record:
    return record_of(ZONE, name, type_, 30, values, **more)


class TestValues:
    @pytest.mark.parametrize("name", ["x" * 64, "a..b", "api.example.org.", "é"])
    def test_a_name_outside_the_zone_is_refused(self, name: str) -> None:
        with pytest.raises(BadRecord):
            record("A", "192.0.2.7", name=name)

    def test_ttl_and_number_of_values_are_bounded(self) -> None:
        with pytest.raises(BadRecord, match="ttl"):
            parsed(record_of(ZONE, "api", "A", -1, ["192.0.2.7"]))
        with pytest.raises(BadRecord, match="values"):
            parsed(record("A"))
        with pytest.raises(BadRecord, match="one value"):
            parsed(record("CNAME", "a", "b"))


class TestZone:
    def put(self, pipeline: Pipeline, one: Record, directory: str = "") -> Records:
        records = Records(directory)
        records.put(one, pipeline.zone, pipeline.put)
        return records

    def test_a_pinned_record_is_answered(self) -> None:
        pipeline = pipeline_of([])
        self.put(pipeline, record("A", "192.0.2.7", "192.0.2.8"))
        answer = reply_to(engine_of(pipeline), "api.cluster.local.").answer[0]
        assert sorted(one.to_text() for one in answer) == ["192.0.2.7", "192.0.2.8"]
        assert answer.ttl == 30

    def test_a_deleted_record_is_gone(self) -> None:
        pipeline = pipeline_of([])
        one = record("A", "192.0.2.7")
        records = self.put(pipeline, one)
        records.delete(one.key, "me", 1.0, pipeline.put)
        assert not pipeline.zone.exists(name_from_text("api.cluster.local."))
        assert records.all() == []
        with pytest.raises(KeyError):
            records.delete(one.key, "me", 1.0, pipeline.put)

    def test_a_name_of_a_service_requires_force(self) -> None:
        pipeline = pipeline_of(cluster.objects())
        records = Records("")
        mine = record("A", "192.0.2.7", name="web.prod.svc")
        with pytest.raises(Conflict, match="belongs to Service prod/web") as caught:
            records.put(mine, pipeline.zone, pipeline.put)
        assert caught.value.forceable
        assert records.all() == []
        forced = record("A", "192.0.2.7", name="web.prod.svc", forced=True)
        records.put(forced, pipeline.zone, pipeline.put)
        assert [str(one) for one in conflicts(pipeline.zone, forced)] == ["Service prod/web"]
        found = pipeline.zone.rrset(name_from_text(mine.name), Type.A)
        assert found is not None
        assert len(found.rdatas) == 2

    def test_a_cname_must_be_the_only_record(self) -> None:
        pipeline = pipeline_of([])
        records = self.put(pipeline, record("A", "192.0.2.7"))
        with pytest.raises(Conflict, match="must be the only record") as caught:
            records.put(record("CNAME", "web", forced=True), pipeline.zone, pipeline.put)
        assert not caught.value.forceable
        records.put(record("TXT", "fine"), pipeline.zone, pipeline.put)

    def test_records_that_dnsd_generates_cannot_be_pinned(self) -> None:
        pipeline = pipeline_of([])
        for one in (
            record("A", "192.0.2.7", name="ns.dns", forced=True),
            record("TXT", "2", name="dns-version", forced=True),
            record("CNAME", "x", name="@", forced=True),
        ):
            with pytest.raises(Conflict):
                Records("").put(one, pipeline.zone, pipeline.put)
        self.put(pipeline, record("MX", "10 mail", name="@"))

    def test_srv_adds_the_addresses_of_its_target(self) -> None:
        pipeline = pipeline_of([])
        self.put(pipeline, record("A", "192.0.2.7"))
        self.put(pipeline, record("SRV", "0 5 443 API", name="_https._tcp"))
        reply = reply_to(engine_of(pipeline), "_https._tcp.cluster.local.", "SRV")
        assert reply.additional[0][0].to_text() == "192.0.2.7"


class TestFile:
    def test_records_survive_a_restart(self, tmp_path: Path) -> None:
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

    def test_a_record_that_cannot_be_saved_is_not_pinned(self, tmp_path: Path) -> None:
        pipeline = pipeline_of([])
        records = Records(str(tmp_path / "gone"))
        with pytest.raises(OSError, match="No such file"):
            records.put(record("A", "192.0.2.7"), pipeline.zone, pipeline.put)
        assert records.all() == []
        assert not pipeline.zone.exists(name_from_text("api.cluster.local."))

    def test_the_key_of_a_record_is_canonical(self) -> None:
        one = record("a", "192.0.2.7")
        assert one.key == key_of("cluster.local.", "api.cluster.local.", "A")
        assert type_text(parsed(one).type) == one.type
