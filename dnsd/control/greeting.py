"""The line that `dnsd serve` prints when it answers, with a command to try.

In `control/` (control process). Change here: the output of `dnsd serve`.
"""

from __future__ import annotations

from collections.abc import Sequence

from dnsd import __version__
from dnsd.control.plane import ControlPlane
from dnsd.dns.addresses import Address
from dnsd.dns.names import name_from_text, text_of
from dnsd.dns.types import Type
from dnsd.transport.listener import Listener


def greeting(plane: ControlPlane, seconds: float) -> str:
    """The addresses, the numbers of Services and names, the time of the start, and a command."""
    services = plane.pipeline.state.counts()["Service"]
    what = f"{_count(services, 'Service')}, {_count(len(plane.pipeline.zone), 'name')}"
    if not services:
        what += " (no Services yet, only the zone itself)"
    return (
        f"dnsd {__version__} answers on {_places(plane.listeners)}: {what}, in {seconds:.2f} s\n"
        f"try: {_try(plane)}"
    )


def _places(listeners: Sequence[Listener]) -> str:
    """The addresses and their transports: `127.0.0.1:53, [::1]:53 (UDP and TCP)`."""
    transports: dict[Address, list[str]] = {}
    for listener in listeners:
        transports.setdefault(listener.address, []).append(listener.transport.label)
    labels = {address: f"({' and '.join(names)})" for address, names in transports.items()}
    if len(set(labels.values())) == 1:
        return f"{', '.join(map(str, labels))} {labels.popitem()[1]}"
    return ", ".join(f"{address} {names}" for address, names in labels.items())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _try(plane: ControlPlane) -> str:
    datagram = (listener for listener in plane.listeners if listener.transport.datagram)
    first = next(datagram, plane.listeners[0])
    option = "" if first.transport.datagram else f"+{first.transport.name} "
    address = first.address.reachable()
    return f"dig {option}-p {address.port} @{address.host} {_example(plane)}"


def _example(plane: ControlPlane) -> str:
    """The query of a name with records: the first Service with an address, else the SOA."""
    primary, zone = text_of(plane.settings.schema.zones[0])[:-1], plane.pipeline.zone
    for service in plane.pipeline.state.services():
        text = f"{service.name}.{service.namespace}.svc.{primary}"
        name = name_from_text(text)
        if zone.rrset(name, Type.A):
            return text
        if zone.rrset(name, Type.AAAA):
            return f"{text} AAAA"
    return f"{primary} SOA"
