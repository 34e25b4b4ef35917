"""The measured cluster: the same objects in each format, the same records for each server."""

from __future__ import annotations

import json
from pathlib import Path

import dns.rdatatype
import dns.zone
import pytest
import yaml

from bench import names
from dnsd.cluster.objects import from_plain
from dnsd.dns.names import name_from_text
from dnsd.sources.source import Batch
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.text import zone_text

SMALL = names.Population(services=23, endpoints=3, changing=4)

Records = set[tuple[str, str, str]]


def manifests(directory: Path) -> list[dict[str, object]]:
    """All objects of a directory, also those of Lists, sorted."""
    found: list[dict[str, object]] = []
    for path in directory.rglob("*.*"):
        for document in yaml.safe_load_all(path.read_text()):
            found += document["items"] if document["kind"] == "List" else [document]
    return sorted(found, key=lambda one: json.dumps(one, sort_keys=True))


def records(text: str, origin: str) -> Records:
    """The records of a zone file, without the SOA, which holds the serial."""
    zone = dns.zone.from_text(text, origin, relativize=False)
    return {
        (str(name), dns.rdatatype.to_text(rdata.rdtype), str(rdata))
        for name, _, rdata in zone.iterate_rdatas()
        if rdata.rdtype != dns.rdatatype.SOA
    }


@pytest.fixture
def served() -> Pipeline:
    """A pipeline with the names that dnsd serves of the manifests."""
    pipeline = Pipeline(SchemaConfig(zones=(name_from_text(names.ZONE),)), 1)
    plain = [doc for one in names.all_services(SMALL) for doc in names.documents(one)]
    events = tuple(thing for document in plain for thing in from_plain(document))
    pipeline.feed(Batch(events, synced=True), 0.0)
    return pipeline


class TestManifests:
    def test_json_and_yaml_hold_the_same_objects(self, tmp_path: Path) -> None:
        names.write_manifests(SMALL, tmp_path / "json", "json", per_file=7)
        names.write_manifests(SMALL, tmp_path / "yaml", "yaml", per_file=7)
        found = manifests(tmp_path / "json")
        assert len(found) == names.NAMESPACES + 2 * (SMALL.services + SMALL.changing)
        assert manifests(tmp_path / "yaml") == found

    def test_each_address_is_used_once(self) -> None:
        used = [one.address for one in names.all_services(SMALL) if one.address]
        used += [address for one in names.all_services(SMALL) for address in one.endpoints]
        for generation in range(1, 50):
            for i in range(SMALL.changing):
                one = names.changing(SMALL, i, generation)
                used += [one.address, *one.endpoints]
        assert len(set(used)) == len(used)

    def test_a_change_replaces_one_file_and_leaves_no_other(self, tmp_path: Path) -> None:
        directory = tmp_path / "manifests"
        names.write_manifests(SMALL, directory)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
        names.write_change(SMALL, directory, 2, 1)
        after = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
        assert after.keys() == before.keys()
        differing = [path for path in after if after[path] != before[path]]
        assert differing == [names.changing_file(directory, 2)]
        assert names.changing(SMALL, 2, 1).address.encode() in differing[0].read_bytes()

    @pytest.mark.parametrize(
        "wrong", [{"services": 9}, {"endpoints": 101}, {"changing": 0}, {"services": 1 << 20}]
    )
    def test_a_population_that_is_too_small_or_large_is_refused(
        self, wrong: dict[str, int]
    ) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            names.Population(**{"services": 100, **wrong})


class TestZones:
    """A comparison is valid only if NSD and Knot serve the records of dnsd."""

    @pytest.mark.parametrize("origin", [names.ZONE, names.REVERSE])
    def test_zone_files_hold_what_dnsd_serves(
        self, served: Pipeline, tmp_path: Path, origin: str
    ) -> None:
        names.write_zones(SMALL, tmp_path)
        written = records((tmp_path / f"{origin}.zone").read_text(), origin)
        expected = records("".join(zone_text(served.zone, name_from_text(origin))), origin)
        # dnsd takes the address of its name server from its listeners.
        server = {one for one in written if one[0].startswith("ns.dns.") and one[1] == "A"}
        assert written - server == expected
        assert len(expected) > SMALL.services * SMALL.endpoints


class TestQuestions:
    @pytest.mark.parametrize("case", ["hit", "nodata", "nxdomain", "srv"])
    def test_the_expected_answers_are_those_of_dnsd(self, served: Pipeline, case: str) -> None:
        for one in names.questions(SMALL, (case,), 40):
            name = name_from_text(one.name)
            assert served.zone.exists(name) == (one.rcode == "NOERROR")
            rrset = served.zone.rrset(name, dns.rdatatype.from_text(one.type))
            assert (rrset is not None) == bool(one.first)

    def test_each_endpoint_has_one_question(self, served: Pipeline) -> None:
        questions = names.endpoint_questions(SMALL)
        assert (
            len({one.name for one in questions})
            == len(questions)
            == SMALL.services * SMALL.endpoints
        )
        for one in questions:
            rrset = served.zone.rrset(name_from_text(one.name), dns.rdatatype.A)
            assert rrset is not None
            assert rrset.rdatas == (bytes(map(int, one.first.split("."))),)

    def test_cases_take_turns_and_the_seed_is_fixed(self) -> None:
        questions = names.questions(SMALL, ("hit", "nodata"), 10)
        assert [one.type for one in questions] == ["A", "AAAA"] * 5
        assert questions == names.questions(SMALL, ("hit", "nodata"), 10)

    def test_a_query_file_has_one_name_and_type_per_line(self, tmp_path: Path) -> None:
        names.write_queries(tmp_path / "q", [names.Question("a.b", "SRV", "NOERROR")] * 2)
        assert (tmp_path / "q").read_text() == "a.b SRV\na.b SRV\n"

    def test_an_unknown_case_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="'mx'"):
            names.question(SMALL, "mx", 0)
