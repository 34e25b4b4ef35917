"""Suggestions: existing names close to a missing one."""

from __future__ import annotations

from dnsd.dns.names import name_from_text
from dnsd.dns.types import Type
from tests.explain.explaining import PIPELINE, explained
from tests.explain.test_lookup import MISSING


class TestSuggestions:
    def names(self, name: str, type_: Type = Type.A) -> list[str]:
        return [near.name for near in explained(name, type_).nearest]

    def test_a_typo_in_a_service_is_corrected(self) -> None:
        assert self.names("wbe.prod.svc.cluster.local.")[0] == "web.prod.svc.cluster.local."

    def test_the_same_service_in_another_namespace_is_suggested(self) -> None:
        assert self.names("db.staging.svc.cluster.local.")[0] == "db.prod.svc.cluster.local."

    def test_a_typo_in_a_namespace_is_corrected(self) -> None:
        found = self.names("web.stagign.svc.cluster.local.")
        assert "web.staging.svc.cluster.local." in found

    def test_ports_and_endpoints_of_the_service_are_suggested(self) -> None:
        assert "_http._tcp.web.prod.svc.cluster.local." in self.names(
            "_htp._tcp.web.prod.svc.cluster.local.", Type.SRV
        )
        assert self.names("db-3.db.prod.svc.cluster.local.")[0].startswith("db-")

    def test_only_existing_names_are_suggested(self) -> None:
        for name in MISSING:
            for near in explained(name).nearest:
                assert PIPELINE.zone.exists(name_from_text(near.name)), near
