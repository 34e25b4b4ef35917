"""Pinned names: the setting `hosts` and files in the format of /etc/hosts."""

from __future__ import annotations

from pathlib import Path

import dns.reversename
import pytest

from dnsd.dns.names import name_from_text, text_of
from dnsd.upstream.hosts import collect, load, read_file
from dnsd.upstream.spec import BadUpstream
from tests.upstream.building import alias, forwarding, rcode, service, texts
from tests.upstream.scripted import address, upstream


class TestHosts:
    PINS = {"db.corp.example": ("10.1.2.3", "fd00::3"), "web.corp.example": ("10.1.2.3",)}  # noqa: RUF012

    async def test_a_pinned_name_is_never_forwarded_for_any_type(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(servers=(up.url,), hosts=self.PINS) as server,
        ):
            assert texts(await server.query("DB.corp.example.")) == ["DB.corp.example. A 10.1.2.3"]
            assert texts(await server.query("db.corp.example.", "AAAA")) == [
                "db.corp.example. AAAA fd00::3"
            ]
            https = await server.query("db.corp.example.", "HTTPS")
            assert (rcode(https), texts(https)) == ("NOERROR", [])
            assert https.authority
        assert not up.received

    async def test_the_ptr_of_an_address_is_its_first_name(self) -> None:
        async with forwarding(servers=("udp://127.0.0.1:1",), hosts=self.PINS) as server:
            for address_ in ("10.1.2.3", "fd00::3"):
                name = str(dns.reversename.from_address(address_))
                assert texts(await server.query(name, "PTR")) == [f"{name} PTR db.corp.example."]

    async def test_a_service_has_precedence_over_a_pinned_name(self) -> None:
        name = "web.default.svc.cluster.local"
        async with forwarding(
            service("web", "10.96.0.9"), servers=("udp://127.0.0.1:1",), hosts={name: ("10.1.1.1",)}
        ) as server:
            assert texts(await server.query(f"{name}.")) == [f"{name}. A 10.96.0.9"]

    async def test_the_target_of_a_cname_can_be_pinned(self) -> None:
        async with forwarding(
            alias("ext", "db.corp.example"), servers=("udp://127.0.0.1:1",), hosts=self.PINS
        ) as server:
            reply = await server.query("ext.default.svc.cluster.local.")
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
        hosts = load({name_from_text("a.example"): (b"\x0a\0\0\1",)}, (str(path),), 60)
        addresses = hosts.addresses[name_from_text("a.example")]
        assert addresses == (b"\x0a\0\0\1", b"\x0a\0\0\2")

    def test_a_missing_or_too_big_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(BadUpstream, match="No such file"):
            read_file(str(tmp_path / "missing"))
        big = tmp_path / "big"
        with big.open("wb") as file:
            file.truncate(17 << 20)
        with pytest.raises(BadUpstream, match="over"):
            read_file(str(big))

    async def test_new_pinned_names_replace_cached_replies(self) -> None:
        async with upstream(lambda q, _: address(q)) as up, forwarding(servers=(up.url,)) as server:
            await server.query("a.example.")
            server.resolver.pin(load({name_from_text("a.example"): (b"\x0a\0\0\1",)}, (), 60))
            assert texts(await server.query("a.example.")) == ["a.example. A 10.0.0.1"]
