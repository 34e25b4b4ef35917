"""A transport is data: what a reply depends on, and its name in texts."""

from __future__ import annotations

import pytest

from dnsd.answer.transport import Transport
from dnsd.transport.registry import TRANSPORTS

TLS = Transport(2, "tls", datagram=False, framed=True, keepalive=True)


def test_the_label_is_the_name_in_capital_letters() -> None:
    assert TLS.label == "TLS"


def test_equal_transports_are_one_key() -> None:
    again = Transport(2, "tls", datagram=False, framed=True, keepalive=True)
    assert {TLS: 1}[again] == 1


@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.name)
def test_a_datagram_is_one_message_and_has_no_connection(transport: Transport) -> None:
    """RFC 1035 4.2.1 and 4.2.2; RFC 7828 3.2.1: no edns-tcp-keepalive over UDP."""
    assert not (transport.datagram and (transport.framed or transport.keepalive))
