"""Settings that are mappings or lists of mappings: from YAML, flags, and variables to structs."""

from __future__ import annotations

from typing import Annotated

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from dnsd.control.settings import Settings
from dnsd.dns.addresses import address_text
from dnsd.settings.kinds import DOMAIN, PACKED_IP, BadValue, Kind, in_quotes, integer, several
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError
from dnsd.settings.sections import mapping, records
from dnsd.zone.settings import ViewRule

IP = Kind("IP address", "ADDRESS", lambda text: address_text(PACKED_IP.parse(text)), in_quotes)
HOSTS = mapping(DOMAIN, IP, "NAME=ADDRESS")


class Shop(Struct, frozen=True):
    name: Annotated[str, DOMAIN]
    addresses: Annotated[tuple[str, ...], several(IP)] = field(default=(), name="at")
    floor: Annotated[int, integer(0, 9)] = 0

    def __post_init__(self) -> None:
        if self.floor == 4:
            raise ValueError("has the floor 4, which does not exist")


SHOPS = records(Shop, "shops", "SHOP", "name")


class TestMapping:
    @pytest.mark.parametrize(
        "value",
        [
            {"a.example": ["10.0.0.1", "fd00::1"], "b.example": "10.0.0.2"},
            "a.example=10.0.0.1+fd00::1, b.example=10.0.0.2",
            ["a.example=10.0.0.1", "b.example=10.0.0.2", "A.example=fd00::1+10.0.0.1"],
        ],
    )
    def test_names_have_lists_of_values_in_the_order_given(self, value: object) -> None:
        assert HOSTS.parse(value) == {
            "a.example": ("10.0.0.1", "fd00::1"),
            "b.example": ("10.0.0.2",),
        }

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            (7, "7 is not a mapping of names"),
            ("a.example", "a.example is not NAME=VALUE"),
            ("a.example=", "a.example has no value"),
            ({"a.example": ["x"]}, "x is not an IP address"),
            ({f"n{i}.example": "10.0.0.1" for i in range(1001)}, "has 1001 names, the limit is"),
        ],
    )
    def test_a_bad_mapping_is_refused(self, value: object, problem: str) -> None:
        with pytest.raises(BadValue) as caught:
            HOSTS.parse(value)
        assert problem in str(caught.value)

    def test_what_is_shown_is_read_back(self) -> None:
        hosts = {"a.example": ("10.0.0.1", "fd00::1"), "b.example": ("10.0.0.2",)}
        assert HOSTS.parse(yaml.safe_load(HOSTS.show(hosts))) == hosts


class TestRecords:
    def test_a_mapping_becomes_the_struct_that_declares_its_keys(self) -> None:
        value = [{"name": "a.example", "at": "10.0.0.1", "floor": "3"}, "b.example"]
        assert SHOPS.parse(value) == (Shop("a.example", ("10.0.0.1",), 3), Shop("b.example"))

    def test_equal_records_are_one(self) -> None:
        assert SHOPS.parse(["a.example", {"name": "A.example."}]) == (Shop("a.example"),)

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ([{"floor": 1}], "has no name"),
            ([{"name": "a..b"}], "(name) is not a domain name"),
            ([{"name": "a.example", "roof": 1}], "roof is not one of name, at, floor"),
            ([{"name": "a.example", "floor": 99}], "99 (floor) is not in 0 to 9"),
            ([{"name": "a.example", "floor": 4}], "has the floor 4"),
            ([7], "7 is not a mapping of name, at, floor"),
            ([f"z{i}.example" for i in range(1001)], "has 1001 mappings, the limit is 1000"),
        ],
    )
    def test_an_error_names_the_key(self, value: object, problem: str) -> None:
        with pytest.raises(BadValue) as caught:
            SHOPS.parse(value)
        assert problem in str(caught.value)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.builds(
                Shop,
                st.sampled_from(["a.example", "b.example"]),
                st.lists(st.sampled_from(["10.0.0.1", "fd00::1"]), unique=True).map(tuple),
                st.integers(0, 3),
            ),
            max_size=4,
        )
    )
    def test_what_is_shown_is_read_back(self, shops: list[Shop]) -> None:
        shown = SHOPS.show(tuple(shops))
        assert SHOPS.parse(yaml.safe_load(shown)) == tuple(dict.fromkeys(shops))


class TestFlowStyle:
    """A list of mappings as a flag or a variable is YAML in flow style."""

    def test_flags_are_repeated_and_a_variable_is_one_list(self) -> None:
        flags = {"outside_zones": ["{name: k8s.example.com, ttl: 5}", "b.example"]}
        variables = {"DNSD_VIEWS": '[{"networks": ["10.0.0.0/8"], "see": "inside"}]'}
        found = load(Settings, flags, variables)
        assert [zone.ttl for zone in found.schema.external.zones] == [5, -1]
        assert found.views.views == (ViewRule(("10.0.0.0/8",), "inside"),)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("{name: ", "is not YAML in one line"),
            ("{" + "x" * 70_000, "has 70001 characters, the limit is 65536"),
            ("[" * 60_000, "--outside-zones: "),
        ],
    )
    def test_bad_text_is_refused(self, text: str, problem: str) -> None:
        with pytest.raises(SettingsError) as caught:
            load(Settings, {"outside_zones": [text]}, {})
        assert problem in str(caught.value)
