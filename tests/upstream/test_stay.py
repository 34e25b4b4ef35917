"""Names that stay here: by policy, by pin; and where the others go."""

from __future__ import annotations

from pathlib import Path

import dns.reversename
import pytest

from dnsd.dns.names import ROOT, name_from_text, text_of
from dnsd.upstream.config import BadUpstream
from dnsd.upstream.hosts import collect, from_setting, load, read_file
from dnsd.upstream.routes import Routes
from tests.upstream.building import alias, plane, rcode, service, texts
from tests.upstream.scripted import address, reply_to, upstream


class TestNeverLeave:
    @pytest.mark.parametrize(
        ("name", "type_", "code"),
        [
            ("localhost.", "TXT", "NOERROR"),
            ("printer.", "A", "NXDOMAIN"),
            ("PRINTER.", "AAAA", "NXDOMAIN"),
            ("com.", "NS", "NXDOMAIN"),
            ("invalid.", "A", "NXDOMAIN"),
            ("a.b.invalid.", "A", "NXDOMAIN"),
            ("facebookwkhpilnemxj7asaniu7vnjjbiltxjqhye3mhbshg7kx5tfyd.onion.", "A", "NXDOMAIN"),
            ("printer.local.", "A", "NXDOMAIN"),
            ("home.arpa.", "SOA", "NOERROR"),
            ("nas.home.arpa.", "A", "NXDOMAIN"),
            ("1.2.3.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("10.in-addr.arpa.", "PTR", "NOERROR"),
            ("1.0.16.172.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.0.31.172.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.1.168.192.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.1.254.169.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.0.64.100.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.0.127.100.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("1.2.0.192.in-addr.arpa.", "PTR", "NXDOMAIN"),
            ("255.255.255.255.in-addr.arpa.", "PTR", "NOERROR"),
            (str(dns.reversename.from_address("fd00::1")), "PTR", "NXDOMAIN"),
            (str(dns.reversename.from_address("fe80::1")), "PTR", "NXDOMAIN"),
            (str(dns.reversename.from_address("febf::1")), "PTR", "NXDOMAIN"),
            (str(dns.reversename.from_address("2001:db8::1")), "PTR", "NXDOMAIN"),
            (str(dns.reversename.from_address("::")), "PTR", "NOERROR"),
            ("x.secret.example.", "A", "NXDOMAIN"),
        ],
    )
    async def test_answered_here(self, name: str, type_: str, code: str) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            plane(servers=(up.url,), never_leave=("secret.example",)) as home,
        ):
            reply = await home.ask(name, type_)
        assert rcode(reply) == code
        assert reply.authority[0].rdtype == 6  # an SOA, so that it can be kept
        assert not up.asked

    @pytest.mark.parametrize(
        ("name", "type_", "record"),
        [
            ("localhost.", "A", "A 127.0.0.1"),
            ("www.localhost.", "AAAA", "AAAA ::1"),
            ("1.0.0.127.in-addr.arpa.", "PTR", "PTR localhost."),
            (str(dns.reversename.from_address("::1")), "PTR", "PTR localhost."),
        ],
    )
    async def test_the_loopback_has_a_name(self, name: str, type_: str, record: str) -> None:
        async with plane(servers=("udp://127.0.0.1:1",)) as home:
            assert texts(await home.ask(name, type_)) == [f"{name} {record}"]

    @pytest.mark.parametrize(
        ("name", "type_"),
        [
            ("com.", "DS"),
            ("com.", "DNSKEY"),
            (".", "NS"),
            ("locals.", "DS"),
            ("notlocal.example.", "A"),
            ("1.1.1.1.in-addr.arpa.", "PTR"),
            ("1.0.32.172.in-addr.arpa.", "PTR"),
            ("1.0.128.100.in-addr.arpa.", "PTR"),
            (str(dns.reversename.from_address("2606:4700::1")), "PTR"),
        ],
    )
    async def test_the_others_leave(self, name: str, type_: str) -> None:
        async with upstream(lambda q, _: address(q)) as up, plane(servers=(up.url,)) as home:
            await home.ask(name, type_)
        assert up.names() == [name]

    async def test_a_forward_rule_is_stronger_the_default_is_not(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            plane(
                servers=("udp://127.0.0.1:1",),
                forward={
                    "home.arpa": (up.url,),
                    "corp.local": (up.url,),
                    "10.in-addr.arpa": (up.url,),
                    "printer": (up.url,),
                },
            ) as home,
        ):
            for name in ("nas.home.arpa.", "a.corp.local.", "1.0.0.10.in-addr.arpa.", "printer."):
                assert rcode(await home.ask(name)) == "NOERROR"
            for name in ("a.local.", "1.0.168.192.in-addr.arpa.", "scanner."):
                assert rcode(await home.ask(name)) == "NXDOMAIN"
        assert len(up.asked) == 4

    async def test_behind_an_alias_too(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            plane(alias("ext", "nas.local"), servers=(up.url,)) as home,
        ):
            reply = await home.ask("ext.default.svc.cluster.local.")
        assert rcode(reply) == "NXDOMAIN"
        assert texts(reply) == ["ext.default.svc.cluster.local. CNAME nas.local."]
        assert not up.asked


class TestForward:
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

    async def test_each_name_goes_to_its_servers(self) -> None:
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

    async def test_none_keeps_the_names_below_here(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            plane(servers=(up.url,), forward={"ads.example": ("none",)}) as home,
        ):
            assert rcode(await home.ask("x.ads.example.")) == "NXDOMAIN"
        assert not up.asked


class TestHosts:
    PINS = {"db.corp.example": ("10.1.2.3", "fd00::3"), "web.corp.example": ("10.1.2.3",)}  # noqa: RUF012

    async def test_a_pin_wins_over_upstream_for_every_type(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            plane(servers=(up.url,), hosts=self.PINS) as home,
        ):
            assert texts(await home.ask("DB.corp.example.")) == ["DB.corp.example. A 10.1.2.3"]
            assert texts(await home.ask("db.corp.example.", "AAAA")) == [
                "db.corp.example. AAAA fd00::3"
            ]
            https = await home.ask("db.corp.example.", "HTTPS")
            assert (rcode(https), texts(https)) == ("NOERROR", [])
            assert https.authority
        assert not up.asked

    async def test_reverse_is_the_first_name(self) -> None:
        async with plane(servers=("udp://127.0.0.1:1",), hosts=self.PINS) as home:
            for address_ in ("10.1.2.3", "fd00::3"):
                name = str(dns.reversename.from_address(address_))
                assert texts(await home.ask(name, "PTR")) == [f"{name} PTR db.corp.example."]

    async def test_never_over_a_service(self) -> None:
        name = "web.default.svc.cluster.local"
        async with plane(
            service("web", "10.96.0.9"), servers=("udp://127.0.0.1:1",), hosts={name: ("10.1.1.1",)}
        ) as home:
            assert texts(await home.ask(f"{name}.")) == [f"{name}. A 10.96.0.9"]

    async def test_behind_an_alias(self) -> None:
        async with plane(
            alias("ext", "db.corp.example"), servers=("udp://127.0.0.1:1",), hosts=self.PINS
        ) as home:
            reply = await home.ask("ext.default.svc.cluster.local.")
        assert texts(reply)[-1] == "db.corp.example. A 10.1.2.3"

    def test_files_in_the_form_of_etc_hosts(self, tmp_path: Path) -> None:
        path = tmp_path / "hosts"
        path.write_text(
            "# comment\n\n127.0.0.1\tlocalhost\n10.0.0.1 one.example one  # behind\n"
            "fd00::1 one.example\n10.0.0.1 two.example\n"
            "nonsense here\n10.0.0.9\nfe80::1%eth0 zoned\n10.0.0.8 good.example bad..name\n"
        )
        pairs, problems = read_file(str(path))
        hosts = collect(pairs, 60)
        assert len(hosts.addresses[name_from_text("one.example")]) == 2
        assert name_from_text("good.example") in hosts.addresses
        assert text_of(hosts.names[name_from_text("1.0.0.10.in-addr.arpa")]) == "one.example."
        lines = [problem.removeprefix(f"{path}:").partition(":")[0] for problem in problems]
        assert lines == ["7", "8", "9", "10"]

    def test_the_setting_comes_before_the_files(self, tmp_path: Path) -> None:
        path = tmp_path / "hosts"
        path.write_text("10.0.0.2 a.example\n")
        hosts = load({"a.example": ("10.0.0.1",)}, (str(path),), 60)
        addresses = hosts.addresses[name_from_text("a.example")]
        assert addresses == (b"\x0a\0\0\1", b"\x0a\0\0\2")

    @pytest.mark.parametrize(
        ("hosts", "problem"),
        [
            ({"10.0.0.1": ("10.0.0.1",)}, "not a host name"),
            ({"a b": ("10.0.0.1",)}, "not a host name"),
            ({"a.example": ("nope",)}, "'nope' is not an IP address"),
            ({"a.example": ()}, "no address"),
        ],
    )
    def test_what_cannot_be_pinned(self, hosts: dict[str, tuple[str, ...]], problem: str) -> None:
        with pytest.raises(BadUpstream, match=problem):
            list(from_setting(hosts))

    def test_a_file_that_is_not_there_or_too_big(self, tmp_path: Path) -> None:
        with pytest.raises(BadUpstream, match="No such file"):
            read_file(str(tmp_path / "missing"))
        big = tmp_path / "big"
        with big.open("wb") as file:
            file.truncate(17 << 20)
        with pytest.raises(BadUpstream, match="over"):
            read_file(str(big))

    async def test_other_pins_take_effect_on_what_is_kept(self) -> None:
        async with upstream(lambda q, _: address(q)) as up, plane(servers=(up.url,)) as home:
            await home.ask("a.example.")
            home.resolver.pin(load({"a.example": ("10.0.0.1",)}, (), 60))
            assert texts(await home.ask("a.example.")) == ["a.example. A 10.0.0.1"]
