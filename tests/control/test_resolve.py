"""What the control process resolves in the sections of the packages."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import pytest

from dnsd.control.resolve import schema_config, worker_setup
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address, pack_address
from dnsd.dns.names import name_from_text
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError


def own(addresses: Iterable[Address]) -> tuple[bytes, ...]:
    return schema_config(Settings(), list(addresses)).ns_addresses


def test_the_name_server_has_the_addresses_of_the_listeners() -> None:
    listeners = [Address("127.0.0.1", 1), Address("::1", 2), Address("127.0.0.1", 3)]
    assert own(listeners) == (pack_address("127.0.0.1"), pack_address("::1"))


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_a_wildcard_listener_stands_for_the_source_address(wildcard: str) -> None:
    (address,) = own([Address(wildcard, 53)])
    assert any(address)


def test_given_addresses_of_the_name_server_are_not_replaced() -> None:
    settings = load(Settings, {"ns_addresses": ["10.96.0.10"]}, {})
    config = schema_config(settings, [Address("::1", 53)])
    assert config.ns_addresses == (pack_address("10.96.0.10"),)


def test_an_external_zone_without_a_ttl_has_that_of_the_zone() -> None:
    flags = {"ttl": "7", "outside_zones": ["{name: k8s.example.com, ttl: 60}", "b.example"]}
    first, second = schema_config(load(Settings, flags, {}), ()).external.zones
    assert (first.name, first.ttl) == (name_from_text("k8s.example.com."), 60)
    assert (second.name, second.ttl) == (name_from_text("b.example."), 7)


@pytest.mark.parametrize("zone", [["b.example"], ["cluster.local"]])
def test_an_external_zone_that_is_a_zone_already_is_an_error(zone: list[str]) -> None:
    flags = {"zone": zone, "outside_zones": ["{name: b.example, ttl: 1}", "b.example"]}
    with pytest.raises(SettingsError, match=r"^--outside-zones: b.example is a zone already"):
        schema_config(load(Settings, flags, {}), ())


def test_the_name_of_the_server_is_that_of_the_host_by_default() -> None:
    assert worker_setup(Settings()).engine.nsid == socket.gethostname().encode()
    for text in ("node-7", ""):
        settings = load(Settings, {"nsid": text}, {})
        assert worker_setup(settings).engine.nsid == text.encode()


def test_workers_receive_the_sections_of_their_packages() -> None:
    flags = {"upstream": ["192.0.2.1"], "tcp_idle_timeout": "7s", "udp_size": "1400"}
    settings = load(Settings, flags, {})
    setup = worker_setup(settings)
    assert setup.limits is settings.transport.limits
    assert (setup.engine.tcp_keepalive, setup.engine.udp_size) == (70, 1400)
    assert setup.engine.forwarding
    assert setup.upstream is not None
    assert setup.upstream.servers == ("udp://192.0.2.1:53",)
    assert setup.upstream.search_zones == settings.schema.zones
    assert worker_setup(Settings()).upstream is None
