"""The cluster that is measured: Services by number, as manifests, zone files and queries.

Everything is a function of a number, so that a million names need no memory here and two
runs ask the same questions. Of `Population.services` Services

* every tenth is headless, its endpoints have hostnames (`<service>-0` …);
* the others have a ClusterIP, and endpoints named by their address;
* each has one named port, `http` over TCP, and one EndpointSlice.

Beside them stand a few *changing* Services, one small file each, whose addresses are a
function of a *generation*: writing the next generation's file is the change that is timed.

The zone files say for NSD and Knot what dnsd's schema makes of the manifests: addresses, SRV at
the bare name and at the port's name, endpoint names, PTR. All servers know the same names.

    10.96.0.0/13    ClusterIPs             10.128.0.0/10   endpoints
    10.104.0.0/13   changing ClusterIPs    10.192.0.0/10   changing endpoints
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

ZONE = "cluster.local"
REVERSE = "10.in-addr.arpa"
TTL = 5  # dnsd's default
PORT = 80
HEADLESS_EVERY = 10
NAMESPACES = 100

_CLUSTER_IPS = 10 << 24 | 96 << 16
_CHANGING_IPS = 10 << 24 | 104 << 16
_ENDPOINTS = 10 << 24 | 128 << 16
_CHANGING_ENDPOINTS = 10 << 24 | 192 << 16
_CHANGING_ADDRESSES = 1 << 19  # distinct addresses that a changing Service runs through


@dataclass(frozen=True, slots=True)
class Population:
    """How many of what. `endpoints` is for each Service."""

    services: int
    endpoints: int = 5
    changing: int = 100

    def __post_init__(self) -> None:
        if not 10 <= self.services <= 1 << 19:
            raise ValueError(f"services: {self.services} is not in 10 to {1 << 19}")
        if not 1 <= self.endpoints <= 100 or self.services * self.endpoints > 1 << 22:
            raise ValueError(f"endpoints: {self.endpoints} for each Service do not fit")
        if not 1 <= self.changing <= 1000:
            raise ValueError(f"changing: {self.changing} is not in 1 to 1000")


@dataclass(frozen=True, slots=True)
class Service:
    """One Service with its endpoints; `address` is empty when it is headless."""

    name: str
    namespace: str
    address: str
    endpoints: tuple[str, ...]
    hostnames: tuple[str, ...]  # one an endpoint, or none at all

    @property
    def host(self) -> str:
        """Its name in the DNS, without the last dot."""
        return f"{self.name}.{self.namespace}.svc.{ZONE}"

    def endpoint_hosts(self) -> list[str]:
        """The name of each endpoint: its hostname, else its address with dashes."""
        labels = self.hostnames or tuple(one.replace(".", "-") for one in self.endpoints)
        return [f"{label}.{self.host}" for label in labels]


def dotted(number: int) -> str:
    """An IPv4 address in text."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def namespace(i: int) -> str:
    return f"team-{i % NAMESPACES:02d}"


def service(population: Population, i: int) -> Service:
    """Service number `i`, 0 <= i < population.services."""
    name = f"svc-{i:06d}"
    headless = i % HEADLESS_EVERY == HEADLESS_EVERY - 1
    first = _ENDPOINTS + i * population.endpoints
    return Service(
        name,
        namespace(i),
        "" if headless else dotted(_CLUSTER_IPS + i + 1),
        tuple(dotted(first + k) for k in range(population.endpoints)),
        tuple(f"{name}-{k}" for k in range(population.endpoints)) if headless else (),
    )


def changing(population: Population, i: int, generation: int) -> Service:
    """Changing Service number `i` as it is in a generation (0: as it starts).

    No two Services or generations share an address, until 2^19 have been used.
    """
    number = (generation * population.changing + i) % _CHANGING_ADDRESSES
    endpoints = tuple(dotted(_CHANGING_ENDPOINTS + number * 2 + k) for k in range(2))
    address = dotted(_CHANGING_IPS + number)
    return Service(f"changing-{i:03d}", namespace(i), address, endpoints, ())


def services(population: Population) -> Iterator[Service]:
    """All that stay as they are."""
    return (service(population, i) for i in range(population.services))


def everything(population: Population) -> Iterator[Service]:
    """All Services, the changing ones in their first generation."""
    first = (changing(population, i, 0) for i in range(population.changing))
    return chain(services(population), first)


# ---------------------------------------------------------------------------------------
# Manifests.


def documents(one: Service) -> list[dict[str, Any]]:
    """A Service and its EndpointSlice, as the API writes them."""
    port = {"name": "http", "protocol": "TCP", "port": PORT}
    endpoints: list[dict[str, Any]] = [
        {"addresses": [address], "conditions": {"ready": True}} for address in one.endpoints
    ]
    for endpoint, hostname in zip(endpoints, one.hostnames, strict=False):
        endpoint["hostname"] = hostname
    address = one.address or "None"
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": one.name, "namespace": one.namespace},
            "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [port]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{one.name}-abcde",
                "namespace": one.namespace,
                "labels": {"kubernetes.io/service-name": one.name},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [port],
        },
    ]


def _namespaces() -> list[dict[str, Any]]:
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(i)}}
        for i in range(NAMESPACES)
    ]


def as_list(objects: Iterable[dict[str, Any]]) -> bytes:
    """A `kind: List` in JSON."""
    return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": list(objects)})


_PLAIN = re.compile(r"[A-Za-z][-A-Za-z0-9]*([./][-A-Za-z0-9]+)*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n", "none"}


def _scalar(value: object) -> str:
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or value.lower() in _WORDS):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def _yaml_lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            if not isinstance(item, dict):
                yield f"{indent}- {_scalar(item)}"
                continue
            lines = _yaml_lines(item, indent + "  ")
            yield f"{indent}- {next(lines).lstrip()}"
            yield from lines
        return
    for key, item in value.items():
        if isinstance(item, dict | list) and item:
            yield f"{indent}{_scalar(key)}:"
            yield from _yaml_lines(item, indent + "  ")
        elif isinstance(item, dict | list):
            yield f"{indent}{_scalar(key)}: {'{}' if isinstance(item, dict) else '[]'}"
        else:
            yield f"{indent}{_scalar(key)}: {_scalar(item)}"


def as_yaml(objects: Iterable[dict[str, Any]]) -> bytes:
    """Documents in the block style that people write.

    Handles what `documents` makes and no more; a general emitter takes a minute for 20,000 objects.
    """
    text = "".join("---\n" + "\n".join(_yaml_lines(one, "")) + "\n" for one in objects)
    return text.encode()


def changing_file(directory: Path, i: int) -> Path:
    """Where the manifest of changing Service `i` stands below a manifest directory."""
    return directory / "changing" / f"changing-{i:03d}.json"


def write_change(population: Population, directory: Path, i: int, generation: int) -> None:
    """Puts changing Service `i` into a generation: one rename, nobody sees half a file.

    The new file is written beside `directory`, where nobody watches.
    """
    draft = directory.parent / f"{directory.name}.changing-{i:03d}.draft"
    draft.write_bytes(as_list(documents(changing(population, i, generation))))
    os.replace(draft, changing_file(directory, i))


def write_manifests(
    population: Population, directory: Path, form: str = "json", per_file: int = 500
) -> None:
    """Writes all manifests, `per_file` Services a file; `form` is "json" or "yaml".

    The changing Services have one file each, in JSON.
    """
    encode = {"json": as_list, "yaml": as_yaml}[form]
    (directory / "changing").mkdir(parents=True)
    (directory / f"namespaces.{form}").write_bytes(encode(_namespaces()))
    rest = services(population)
    number = 0
    while some := list(islice(rest, per_file)):
        objects = chain.from_iterable(documents(one) for one in some)
        (directory / f"services-{number:04d}.{form}").write_bytes(encode(objects))
        number += 1
    for i in range(population.changing):
        write_change(population, directory, i, 0)


# ---------------------------------------------------------------------------------------
# Zone files.


def _apex(origin: str) -> str:
    return (
        f"$ORIGIN {origin}.\n$TTL {TTL}\n"
        f"@ SOA ns.dns.{ZONE}. hostmaster.{ZONE}. 1 7200 1800 86400 {TTL}\n"
        f"@ NS ns.dns.{ZONE}.\n"
    )


def _srv(targets: list[str]) -> list[str]:
    weight = max(1, 100 // max(1, len(targets)))
    return [f"SRV 0 {weight} {PORT} {target}." for target in targets]


def _records(one: Service) -> Iterator[str]:
    host, hosts = f"{one.host}.", one.endpoint_hosts()
    for address in (one.address,) if one.address else one.endpoints:
        yield f"{host} A {address}"
    for srv in _srv([one.host] if one.address else hosts):
        yield f"{host} {srv}"
        yield f"_http._tcp.{host} {srv}"
    for name, address in zip(hosts, one.endpoints, strict=True):
        yield f"{name}. A {address}"


def zone_text(population: Population) -> Iterator[str]:
    """The forward zone in master file format (RFC 1035 5), in pieces."""
    yield _apex(ZONE)
    yield 'ns.dns A 127.0.0.1\ndns-version 28800 TXT "1.1.0"\n'
    for one in everything(population):
        yield "\n".join(_records(one)) + "\n"


def reverse_text(population: Population) -> Iterator[str]:
    """The reverse zone, likewise."""

    def ptr(address: str, target: str) -> str:
        a, b, c, d = address.split(".")
        return f"{d}.{c}.{b}.{a}.in-addr.arpa. PTR {target}.\n"

    yield _apex(REVERSE)
    for one in everything(population):
        if one.address:
            yield ptr(one.address, one.host)
        for host, address in zip(one.endpoint_hosts(), one.endpoints, strict=True):
            yield ptr(address, host)


def write_zones(population: Population, directory: Path) -> None:
    """Writes `cluster.local.zone` and `10.in-addr.arpa.zone`."""
    directory.mkdir(parents=True, exist_ok=True)
    for origin, pieces in ((ZONE, zone_text), (REVERSE, reverse_text)):
        with (directory / f"{origin}.zone").open("w") as file:
            file.writelines(pieces(population))


# ---------------------------------------------------------------------------------------
# Queries.


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what a right reply has: its code and its first record's data."""

    name: str
    type: str
    rcode: str
    first: str = ""  # in text; empty: no answer section


def question(population: Population, case: str, i: int) -> Question:
    """Question of a case ("hit", "nxdomain", "nodata", "srv") about ClusterIP Service `i`."""
    one = service(population, i)
    if case == "hit":
        return Question(one.host, "A", "NOERROR", one.address)
    if case == "nodata":
        return Question(one.host, "AAAA", "NOERROR")
    if case == "nxdomain":
        return Question(f"missing-{one.host}", "A", "NXDOMAIN")
    if case == "srv":
        return Question(f"_http._tcp.{one.host}", "SRV", "NOERROR", f"0 100 {PORT} {one.host}.")
    raise ValueError(f"{case!r} is no case")


def questions(population: Population, cases: tuple[str, ...], count: int) -> list[Question]:
    """`count` questions, the cases in turn, about ClusterIP Services drawn with a fixed seed."""
    draw = random.Random(1035)
    picked = []
    for n in range(count):
        i = draw.randrange(population.services)
        i -= i % HEADLESS_EVERY == HEADLESS_EVERY - 1
        picked.append(question(population, cases[n % len(cases)], i))
    return picked


def endpoint_questions(population: Population) -> list[Question]:
    """The address of every endpoint's name, each once, in an order with a fixed seed.

    More names than any cache of replies is likely to hold.
    """
    asked = [
        Question(host, "A", "NOERROR", address)
        for one in services(population)
        for host, address in zip(one.endpoint_hosts(), one.endpoints, strict=True)
    ]
    random.Random(1035).shuffle(asked)
    return asked


def write_queries(path: Path, asked: Iterable[Question]) -> None:
    """A query file as dnsperf and the probe read it: `name type` a line."""
    path.write_text("".join(f"{one.name} {one.type}\n" for one in asked))
