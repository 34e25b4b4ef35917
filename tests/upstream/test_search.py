"""Search lists: the candidates of a query, in the order of the client."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.cluster.objects import Pod
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text, text_of
from dnsd.upstream.search import Client, candidates

ZONE = name_from_text("cluster.local.")
EC2 = name_from_text("ec2.internal.")
POD = pack_address("10.244.0.7")


def pod(name: str = "web-0", ip: str = "10.244.0.7", **fields: Any) -> Pod:
    return Pod("default", name, (pack_address(ip),), "Running", **fields)


def searched(name: str, client: Client | None, *domains: bytes) -> list[str]:
    return [text_of(one) for one in candidates(name_from_text(name), client, (ZONE,), domains)]


class TestCandidates:
    def test_candidates_follow_the_search_list_and_end_with_the_bare_name(self) -> None:
        own = (name_from_text("corp.example."),)
        found = searched("example.com.default.svc.cluster.local.", Client("default", own), EC2)
        assert found == [
            "example.com.svc.cluster.local.",
            "example.com.cluster.local.",
            "example.com.ec2.internal.",
            "example.com.corp.example.",
            "example.com.",
        ]

    @pytest.mark.parametrize(
        ("name", "client"),
        [
            ("example.com.default.svc.cluster.local.", None),
            ("example.com.other.svc.cluster.local.", Client("default")),
            ("default.svc.cluster.local.", Client("default")),
            ("example.com.svc.cluster.local.", Client("default")),
            ("example.com.", Client("default")),
            ("a.b.c.d.e.f.default.svc.cluster.local.", Client("default")),  # 5 dots: bare first
            ("example.com.default.svc.cluster.local.", Client("default", host_network=True)),
            ("example.com.default.svc.cluster.local.", Client("default", dns_policy="Default")),
            ("example.com.default.svc.cluster.local.", Client("default", dns_policy="None")),
        ],
    )
    def test_other_queries_are_not_completed(self, name: str, client: Client | None) -> None:
        assert searched(name, client) == []

    def test_a_prefix_has_at_most_four_dots(self) -> None:
        assert searched("a.b.c.d.e.default.svc.cluster.local.", Client("default"))

    def test_candidates_of_over_255_octets_are_left_out(self) -> None:
        long = ".".join(["a" * 60] * 3)
        found = searched(
            f"{long}.default.svc.cluster.local.",
            Client("default"),
            name_from_text(".".join(["b" * 60] * 2)),
        )
        assert found
        assert not any("bbb" in name for name in found)
