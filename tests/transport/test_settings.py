"""The settings of the listeners: how an address is written, and which exclude each other."""

from __future__ import annotations

import pytest
import yaml

from dnsd.dns.addresses import Address, Endpoint
from dnsd.settings.kinds import BadValue
from dnsd.transport.registry import TRANSPORTS
from dnsd.transport.settings import ENDPOINTS, TransportConfig


@pytest.mark.parametrize("scheme", ["", *(transport.name for transport in TRANSPORTS)])
def test_an_address_has_the_scheme_of_a_transport_or_none(scheme: str) -> None:
    text = f"{scheme}://[::1]:53" if scheme else "[::1]:53"
    found = ENDPOINTS.parse(text)
    assert found == (Endpoint(Address("::1", 53), scheme),)
    assert ENDPOINTS.parse(yaml.safe_load(ENDPOINTS.show(found))) == found


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["gopher://127.0.0.1:53"], "has a scheme that is not one of udp://, tcp://"),
        (["127.0.0.1:53", "127.0.0.1:53", "0.0.0.0:53"], "overlaps with 127.0.0.1:53"),
        (["[::]:53", "[::1]:53"], r"overlaps with \[::\]:53"),
        ([], "give at least 1"),
    ],
)
def test_addresses_that_cannot_all_be_bound_are_refused(texts: list[str], problem: str) -> None:
    with pytest.raises(BadValue, match=problem):
        ENDPOINTS.parse(texts)


def test_one_port_may_serve_each_transport_and_each_family() -> None:
    texts = ["udp://0.0.0.0:53", "tcp://0.0.0.0:53", "[::]:53", "127.0.0.1:0", "127.0.0.1:5353"]
    assert len(ENDPOINTS.parse(texts)) == len(texts)


def test_by_default_dnsd_listens_on_loopback_without_privileges() -> None:
    (endpoint,) = TransportConfig().listen
    assert (endpoint.address.host, endpoint.address.port > 1023) == ("127.0.0.1", True)
