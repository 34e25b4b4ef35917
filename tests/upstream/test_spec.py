"""How upstream servers are written, and the servers of resolv.conf."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.upstream.spec import (
    BadUpstream,
    ServerSpec,
    parse_server,
    parse_servers,
    read_resolv_conf,
)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("udp://127.0.0.1:5310", ServerSpec("udp", "127.0.0.1", 5310)),
        ("192.0.2.1", ServerSpec("udp", "192.0.2.1", 53)),
        ("192.0.2.1:5353", ServerSpec("udp", "192.0.2.1", 5353)),
        ("tcp://192.0.2.1", ServerSpec("tcp", "192.0.2.1", 53)),
        ("udp://[2001:db8::1]:5310", ServerSpec("udp", "2001:db8::1", 5310)),
        ("tcp://2001:db8::1", ServerSpec("tcp", "2001:db8::1", 53)),
        ("tls://192.0.2.1", ServerSpec("tls", "192.0.2.1", 853, "192.0.2.1")),
        ("tls://192.0.2.1#dns.example", ServerSpec("tls", "192.0.2.1", 853, "dns.example")),
        ("tls://[2001:db8::1]:8853#d.e", ServerSpec("tls", "2001:db8::1", 8853, "d.e")),
    ],
)
def test_a_server_is_read_as_it_is_written(text: str, spec: ServerSpec) -> None:
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


@pytest.mark.parametrize(
    "text",
    [
        *("", "udp://", "https://192.0.2.1", "dns.example", "tls://dns.example", "192.0.2.1:"),
        *("192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x", "udp://[::1", "[::1]x:53"),
        *("udp://192.0.2.1#name", "tls://192.0.2.1#", "192.0.2.1:²", "1.2.3.4:9999999999999"),
    ],
)
def test_other_text_is_not_a_server(text: str) -> None:
    with pytest.raises(BadUpstream, match="upstream"):
        parse_server(text)


class TestLists:
    def test_none_is_no_server_and_stands_alone(self) -> None:
        assert parse_servers(("none",), "") == ()
        with pytest.raises(BadUpstream, match="alone"):
            parse_servers(("none", "192.0.2.1"), "")

    def test_a_list_has_at_most_16_servers(self) -> None:
        with pytest.raises(BadUpstream, match="at most"):
            parse_servers(tuple(f"192.0.2.{n}" for n in range(17)), "")

    def test_each_server_is_in_the_list_once(self) -> None:
        assert len(parse_servers(("192.0.2.1", "udp://192.0.2.1:53"), "")) == 1

    def test_resolv_conf_stands_for_its_servers(self, tmp_path: Path) -> None:
        path = tmp_path / "resolv.conf"
        path.write_text(
            "# by hand\nsearch a.example b.example\nnameserver 192.0.2.53\n"
            "nameserver fe80::1%eth0\nnameserver 2001:db8::53\noptions ndots:1\n"
        )
        servers = parse_servers(("resolv.conf",), str(path))
        assert servers == (
            ServerSpec("udp", "192.0.2.53", 53),
            ServerSpec("udp", "2001:db8::53", 53),
        )
        assert read_resolv_conf(str(path))[1] == ("a.example", "b.example")

    @pytest.mark.parametrize("content", ["", "search x\n", "nameserver dns.example\n"])
    def test_a_resolv_conf_without_servers_is_an_error(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "resolv.conf"
        path.write_text(content)
        with pytest.raises(BadUpstream):
            read_resolv_conf(str(path))
        with pytest.raises(BadUpstream, match="No such file"):
            read_resolv_conf(str(tmp_path / "missing"))

    def test_a_resolv_conf_over_64_kib_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "resolv.conf"
        path.write_bytes(b"#" * 70_000)
        with pytest.raises(BadUpstream, match="over"):
            read_resolv_conf(str(path))
