"""The measured cluster: Services by number, as manifests, zone files, and queries.

In `bench/` (measurements). Change here: the Services, names, and queries of all measurements.

Each object is a function of a number, so a million names need no memory, and two runs send the same
queries. Of `Population.services` Services,

* every tenth one is headless, and its endpoints have hostnames (`SERVICE-0` …);
* the others have a ClusterIP, and their endpoints are named by address;
* each one has one named port, `http` over TCP, and one EndpointSlice.

A few *changing* Services have one small file each. Their addresses are a function of a
*generation*. The change that is timed replaces such a file by the one of the next generation.

The zone files give NSD and Knot the records that the schema of dnsd makes of the manifests:
addresses, SRV at the name of the Service and of the port, endpoint names, and PTR. All servers
serve the same names.

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
_CHANGING_ADDRESSES = 1 << 19  # distinct addresses of all generations


@dataclass(frozen=True, slots=True)
class Population:
    """Numbers of Services, of endpoints per Service, and of changing Services."""

    services: int
    endpoints: int = 5
    changing: int = 100

    def __post_init__(self) -> None:
        if not 10 <= self.services <= 1 << 19:
            raise ValueError(f"services: {self.services} is not between 10 and {1 << 19}")
        if not 1 <= self.endpoints <= 100 or self.services * self.endpoints > 1 << 22:
            raise ValueError(f"endpoints: {self.endpoints} per Service is too many")
        if not 1 <= self.changing <= 1000:
            raise ValueError(f"changing: {self.changing} is not between 1 and 1000")


@dataclass(frozen=True, slots=True)
class Service:
    """A Service with its endpoints; `address` is empty if it is headless."""

    name: str
    namespace: str
    address: str
    endpoints: tuple[str, ...]
    hostnames: tuple[str, ...]  # one for each endpoint, or empty

    @property
    def host(self) -> str:
        """Its DNS name without the last dot."""
        return f"{self.name}.{self.namespace}.svc.{ZONE}"

    def endpoint_hosts(self) -> list[str]:
        """The name of each endpoint: its hostname, or its address with dashes."""
        labels = self.hostnames or tuple(one.replace(".", "-") for one in self.endpoints)
        return [f"{label}.{self.host}" for label in labels]


def ipv4_text(number: int) -> str:
    """An IPv4 address as text."""
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
        "" if headless else ipv4_text(_CLUSTER_IPS + i + 1),
        tuple(ipv4_text(first + k) for k in range(population.endpoints)),
        tuple(f"{name}-{k}" for k in range(population.endpoints)) if headless else (),
    )


def changing(population: Population, i: int, generation: int) -> Service:
    """Changing Service number `i` in a generation (0 at the start).

    Addresses repeat after 2^19 of them.
    """
    number = (generation * population.changing + i) % _CHANGING_ADDRESSES
    endpoints = tuple(ipv4_text(_CHANGING_ENDPOINTS + number * 2 + k) for k in range(2))
    address = ipv4_text(_CHANGING_IPS + number)
    return Service(f"changing-{i:03d}", namespace(i), address, endpoints, ())


def services(population: Population) -> Iterator[Service]:
    """All Services that do not change."""
    return (service(population, i) for i in range(population.services))


def all_services(population: Population) -> Iterator[Service]:
    """All Services, the changing ones in generation 0."""
    first = (changing(population, i, 0) for i in range(population.changing))
    return chain(services(population), first)


# ---------------------------------------------------------------------------------------
# Manifests.


def documents(one: Service) -> list[dict[str, Any]]:
    """A Service and its EndpointSlice, as the API server writes them."""
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
    """Documents in block style.

    It writes the values of `documents` only. A general emitter takes a minute for 20,000 objects.
    """
    text = "".join("---\n" + "\n".join(_yaml_lines(one, "")) + "\n" for one in objects)
    return text.encode()


def changing_file(directory: Path, i: int) -> Path:
    """The manifest file of changing Service `i` below a manifest directory."""
    return directory / "changing" / f"changing-{i:03d}.json"


def write_change(population: Population, directory: Path, i: int, generation: int) -> None:
    """Replace the manifest of changing Service `i` by that of a generation, by one rename.

    The new file is written outside `directory`, so that no watch reports an incomplete file.
    """
    draft = directory.parent / f"{directory.name}.changing-{i:03d}.draft"
    draft.write_bytes(as_list(documents(changing(population, i, generation))))
    os.replace(draft, changing_file(directory, i))


def write_manifests(
    population: Population, directory: Path, form: str = "json", per_file: int = 500
) -> None:
    """Write all manifests, `per_file` Services per file; `form` is "json" or "yaml".

    Each changing Service has its own file, in JSON.
    """
    encode = {"json": as_list, "yaml": as_yaml}[form]
    (directory / "changing").mkdir(parents=True)
    (directory / f"namespaces.{form}").write_bytes(encode(_namespaces()))
    rest = services(population)
    number = 0
    while chunk := list(islice(rest, per_file)):
        objects = chain.from_iterable(documents(one) for one in chunk)
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
    """The forward zone as a zone file (RFC 1035, section 5), in pieces."""
    yield _apex(ZONE)
    yield 'ns.dns A 127.0.0.1\ndns-version 28800 TXT "1.1.0"\n'
    for one in all_services(population):
        yield "\n".join(_records(one)) + "\n"


def reverse_text(population: Population) -> Iterator[str]:
    """The reverse zone as a zone file, in pieces."""

    def ptr(address: str, target: str) -> str:
        a, b, c, d = address.split(".")
        return f"{d}.{c}.{b}.{a}.in-addr.arpa. PTR {target}.\n"

    yield _apex(REVERSE)
    for one in all_services(population):
        if one.address:
            yield ptr(one.address, one.host)
        for host, address in zip(one.endpoint_hosts(), one.endpoints, strict=True):
            yield ptr(address, host)


def write_zones(population: Population, directory: Path) -> None:
    """Write `cluster.local.zone` and `10.in-addr.arpa.zone`."""
    directory.mkdir(parents=True, exist_ok=True)
    for origin, pieces in ((ZONE, zone_text), (REVERSE, reverse_text)):
        with (directory / f"{origin}.zone").open("w") as file:
            file.writelines(pieces(population))


# ---------------------------------------------------------------------------------------
# Queries.


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the response code and first record of its correct answer."""

    name: str
    type: str
    rcode: str
    first: str = ""  # the data as text; empty without an answer section


def question(population: Population, case: str, i: int) -> Question:
    """The question of a case (hit, nxdomain, nodata, srv) about Service `i` with a ClusterIP."""
    one = service(population, i)
    if case == "hit":
        return Question(one.host, "A", "NOERROR", one.address)
    if case == "nodata":
        return Question(one.host, "AAAA", "NOERROR")
    if case == "nxdomain":
        return Question(f"missing-{one.host}", "A", "NXDOMAIN")
    if case == "srv":
        return Question(f"_http._tcp.{one.host}", "SRV", "NOERROR", f"0 100 {PORT} {one.host}.")
    raise ValueError(f"{case!r} is not a case")


def questions(population: Population, cases: tuple[str, ...], count: int) -> list[Question]:
    """`count` questions, the cases in turn, about random Services with ClusterIPs, fixed seed."""
    draw = random.Random(1035)
    drawn = []
    for n in range(count):
        i = draw.randrange(population.services)
        i -= i % HEADLESS_EVERY == HEADLESS_EVERY - 1
        drawn.append(question(population, cases[n % len(cases)], i))
    return drawn


def endpoint_questions(population: Population) -> list[Question]:
    """The addresses of all endpoint names, each once, in random order with a fixed seed.

    They are more names than a usual cache of replies holds.
    """
    found = [
        Question(host, "A", "NOERROR", address)
        for one in services(population)
        for host, address in zip(one.endpoint_hosts(), one.endpoints, strict=True)
    ]
    random.Random(1035).shuffle(found)
    return found


def write_queries(path: Path, found: Iterable[Question]) -> None:
    """Write a query file for dnsperf and the probe: one `NAME TYPE` per line."""
    path.write_text("".join(f"{one.name} {one.type}\n" for one in found))
