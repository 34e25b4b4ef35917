"""A manifest keeps of an object what the registry needs without unpacking it."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.cluster.objects import Key
from dnsd.dns.addresses import pack_address
from dnsd.sources.manifests.manifest import manifest_of
from tests.sources.manifests.building import manifests, svc


class TestClaims:
    """A manifest lists its addresses, so that few Services have to be unpacked."""

    @pytest.mark.parametrize(
        ("ips", "more", "claims"),
        [
            (["10.96.0.1"], {}, "10.96.0.1"),
            (["fd00:10::1"], {}, "fd00:10::1"),
            (["fd00:10::1", "10.96.0.1"], {}, "10.96.0.1 fd00:10::1"),
            (["10.96.0.1"], {"families": ["IPv6"]}, "10.96.0.1"),
            ([], {"headless": "yes"}, ""),
            ([], {"type": "ExternalName", "external": "a.example"}, ""),
            ([], {}, None),
            (["10.96.0.1", "10.96.0.2"], {}, None),
            (["10.96.0.1"], {"type": "NodePort"}, None),
            (["10.96.0.1"], {"families": ["IPv5"]}, None),
            (["10.96.0.1"], {"families": ["IPv4", "IPv6"]}, None),
            (["10.96.0.1"], {"policy": "PreferDualStack"}, None),
            (["10.96.0.1"], {"policy": "RequireDualStack"}, None),
        ],
    )
    def test_a_service_that_needs_nothing_claims_the_addresses_it_states(
        self, ips: list[str], more: dict[str, Any], claims: str | None
    ) -> None:
        (manifest,) = manifests("a.yaml", svc("x", *ips, **more))
        expected = None if claims is None else b"".join(map(pack_address, claims.split()))
        assert manifest.claims == expected


class TestPlace:
    def test_manifests_are_ordered_by_file_document_and_item(self) -> None:
        places = [("a.yaml", 2, -1), ("a.yaml", 2, 7), ("a.yaml", 10, 0), ("b.yaml", 1, -1)]
        made = [manifest_of(svc("x"), *place, line=1) for place in reversed(places)]
        assert [one.place for one in sorted(made, key=lambda one: one.place)] == places

    @pytest.mark.parametrize(("item", "origin"), [(-1, "a.yaml#2"), (0, "a.yaml#2[0]")])
    def test_the_origin_names_the_document_and_the_item_of_a_list(
        self, item: int, origin: str
    ) -> None:
        assert manifest_of(svc("x"), "a.yaml", 2, item, 5).origin == origin

    def test_the_object_and_its_key_are_unpacked(self) -> None:
        manifest = manifest_of(svc("x", "10.96.0.1"), "a.yaml", 1, -1, 1)
        assert manifest.object == svc("x", "10.96.0.1")
        assert manifest.key == Key("Service", "default", "x")

    def test_a_problem_names_the_file_line_object_and_field(self) -> None:
        manifest = manifest_of(svc("x"), "a.yaml", 3, -1, 12)
        assert str(manifest.problem("spec", "is bad")) == (
            "a.yaml:12: Service default/x: spec: is bad"
        )
        assert manifest.problem("spec", "is bad").document == 3
