"""Each example of docs/names.md has the answer of the zone of the seed manifests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from dnsd.control.resolve import schema_config
from dnsd.control.settings import Settings
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text, reverse_name
from dnsd.dns.text import rrset_text
from dnsd.dns.types import Type
from dnsd.settings.schema import Group, declared
from dnsd.sources.manifests.source import load
from dnsd.sources.source import Batch
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.zone import Zone

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "names.md").read_text(encoding="utf-8")
SEED = load(ROOT / "config" / "examples" / "seed")
OUTSIDE = load(ROOT / "config" / "examples" / "outside")


class Example(NamedTuple):
    options: str  # YAML: settings that differ from their defaults
    question: str  # the arguments of `dig`
    answer: tuple[str, ...]


def examples(page: str) -> Iterator[Example]:
    for block in re.findall(r"```dig\n(.*?)```", page, re.DOTALL):
        lines = block.splitlines()
        options = "\n".join(line[2:] for line in lines if line.startswith("# "))
        for part in re.findall(r"^\$ dig (.*\n(?:[^$\n].*\n)*)", block, re.MULTILINE):
            question, *answer = part.splitlines()
            yield Example(options, question, tuple(answer))


EXAMPLES = list(examples(PAGE))


def zone_with(options: str) -> Zone:
    settings: dict[str, Any] = yaml.safe_load(options) or {}
    if "ns_addresses" in settings:
        settings["ns_addresses"] = tuple(map(pack_address, settings["ns_addresses"]))
    if "reverse_zones" in settings:
        settings["reverse_zones"] = tuple(settings["reverse_zones"])
    external = any(name.startswith("outside") for name in settings)
    if external:
        kinds = {name: declared(Settings)[name].setting.kind for name in settings}
        given = {name: kinds[name].parse(value) for name, value in settings.items()}
        config = schema_config(Settings.of(**given), ())
    else:
        config = SchemaConfig(zones=(name_from_text("cluster.local."),), **settings)
    line = Pipeline(config, 1)
    line.feed(Batch(tuple((OUTSIDE if external else SEED).objects), True), 0.0)
    assert not line.failed
    return line.zone


def answer(zone: Zone, question: str) -> tuple[str, ...]:
    """The output of dig, with one blank between the fields."""
    first, second = question.split()
    if first == "-x":
        name, type_ = reverse_name(pack_address(second)), Type.PTR
    else:
        name, type_ = name_from_text(first + "."), Type[second]
    if zone.zone_of(name) is None:
        return (";; REFUSED",)
    if not zone.exists(name):
        return (";; NXDOMAIN",)
    found = zone.rrset(name, type_) or zone.rrset(name, Type.CNAME)
    if found is None:
        return (";; NOERROR, no records",)
    return tuple(line.rstrip("\n").replace("\t", " ") for line in rrset_text(found))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.question)
def test_an_example_shows_the_answer_of_the_zone(example: Example) -> None:
    assert answer(zone_with(example.options), example.question) == example.answer


def test_each_dig_command_is_an_example() -> None:
    assert len(EXAMPLES) == PAGE.count("$ dig ")
    assert len(EXAMPLES) > 30


def test_the_manifests_of_the_examples_have_no_problem() -> None:
    assert (SEED.problems, OUTSIDE.problems) == ((), ())


ABOUT_NAMES = (Group.NAMES, Group.EXTERNAL, Group.VIEWS)
SETTINGS = [name for name, one in declared(Settings).items() if one.setting.group in ABOUT_NAMES]


@pytest.mark.parametrize("setting", [*SETTINGS, "service_cidr"])
def test_each_setting_about_names_is_on_the_page(setting: str) -> None:
    assert re.search(rf"`{setting}[`:]", PAGE)
