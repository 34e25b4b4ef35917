"""The settings of the engine: the length of texts, and which clients are answered by default."""

from __future__ import annotations

import pytest

from dnsd.answer.settings import EngineConfig
from dnsd.control.settings import Settings
from dnsd.dns.addresses import pack_address
from dnsd.dns.networks import Networks
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError
from dnsd.transport.registry import TCP, UDP


@pytest.mark.parametrize("name", ["nsid", "version_text", "id_text"])
def test_a_text_has_the_room_of_a_character_string(name: str) -> None:
    """RFC 1035 3.3: one octet of length."""
    load(Settings, {name: "x" * 255}, {})
    with pytest.raises(SettingsError, match="has 256 octets, the limit is 255"):
        load(Settings, {name: "x" * 256}, {})


def test_the_name_of_the_server_is_octets_of_utf_8() -> None:
    assert load(Settings, {"nsid": "pod-ä"}, {}).engine.nsid == "pod-ä".encode()


@pytest.mark.parametrize(
    ("address", "recursion"),
    [
        *(("127.0.0.1", True), ("10.0.0.1", True), ("::1", True), ("fd00::1", True)),
        *(
            ("169.254.20.10", True),
            ("100.64.0.1", True),
            ("8.8.8.8", False),
            ("2001:db8::1", False),
        ),
    ],
)
def test_by_default_every_client_may_query_and_private_clients_may_recurse(
    address: str, recursion: bool
) -> None:
    config, client = EngineConfig(), pack_address(address)
    assert client in Networks(config.allow_query)
    assert (client in Networks(config.allow_recursion)) == recursion


def test_an_empty_list_of_networks_holds_no_client() -> None:
    config = load(Settings, {"allow_query": [], "allow_recursion": ""}, {}).engine
    for networks in (config.allow_query, config.allow_recursion):
        assert pack_address("127.0.0.1") not in Networks(networks)


def test_a_reply_over_udp_is_as_long_as_client_and_server_accept() -> None:
    """RFC 6891 6.2.3 to 6.2.5: at least 512 octets."""
    config = EngineConfig(udp_size=1232)
    sizes = {None: 512, 100: 512, 1000: 1000, 4096: 1232}
    assert {size: config.limit(UDP, size) for size in sizes} == sizes
    assert config.limit(TCP, 512) == 65_535
