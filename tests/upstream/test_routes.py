"""Forward rules: the longest suffix of a name decides."""

from __future__ import annotations

from dnsd.dns.names import ROOT, name_from_text
from dnsd.upstream.routes import Routes
from tests.upstream.building import plane, rcode, texts
from tests.upstream.scripted import address, reply_to, upstream


class TestRoutes:
    def test_the_longest_suffix_wins_at_label_boundaries(self) -> None:
        rules = {
            name_from_text(text): text for text in (".", "example.", "corp.example.", "b.c.d.")
        }
        routes = Routes(rules)
        for name, expected in [
            ("www.corp.example.", "corp.example."),
            ("corp.example.", "corp.example."),
            ("acorp.example.", "example."),
            ("c.d.", "."),
            (".", "."),
        ]:
            assert routes.find(name_from_text(name)) == (name_from_text(expected), expected)
        assert Routes({name_from_text("example."): 1}).find(ROOT) is None

    async def test_each_name_is_forwarded_to_the_servers_of_its_rule(self) -> None:
        async with (
            upstream(lambda q, _: address(q, "192.0.2.1")) as world,
            upstream(lambda q, _: address(q, "192.0.2.2")) as corp,
            plane(forward={"corp.example": (corp.url,), ".": (world.url,)}) as home,
        ):
            assert texts(await home.ask("a.CORP.example.")) == ["a.CORP.example. A 192.0.2.2"]
            assert texts(await home.ask("a.example.")) == ["a.example. A 192.0.2.1"]
        assert (corp.names(), world.names()) == (["a.corp.example."], ["a.example."])

    async def test_a_chain_is_followed_to_the_servers_of_its_target(self) -> None:
        def external(query, _):
            return [
                reply_to(
                    query,
                    "www.example. 60 CNAME db.corp.example.",
                    "db.corp.example. 60 A 203.0.113.66",
                )
            ]

        async with (
            upstream(external) as world,
            upstream(lambda q, _: address(q, "192.0.2.2")) as corp,
            plane(servers=(world.url,), forward={"corp.example": (corp.url,)}) as home,
        ):
            for _ in range(2):
                reply = await home.ask("www.example.")
                assert texts(reply)[-1] == "db.corp.example. A 192.0.2.2"
        assert (len(world.asked), len(corp.asked)) == (1, 1)

    async def test_names_of_a_rule_without_servers_are_nxdomain(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            plane(servers=(up.url,), forward={"ads.example": ("none",)}) as home,
        ):
            assert rcode(await home.ask("x.ads.example.")) == "NXDOMAIN"
        assert not up.asked
