"""The settings of this room, and the servers they name.

A server is written `udp://ADDRESS[:PORT]`, `tcp://…` or `tls://ADDRESS[:PORT][#NAME]`; a bare
address means `udp://`. IPv6 addresses with a port stand in brackets. There are no host
names: whoever looks names up for a living cannot wait for somebody to look up his own
upstream. A TLS server's certificate must be good for NAME, or for its address without one.

`resolv.conf` stands for the name servers of that file, `none` for no upstream at all.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from dnsd.dns.names import BadName, Name, name_from_text

PORTS = {"udp": 53, "tcp": 53, "tls": 853}
POLICIES = ("sequential", "random", "fastest")
MAX_SERVERS = 16  # of one list; resolv.conf itself has three at most
MAX_RULES = 1_000
_MAX_RESOLV_CONF = 65_536


class BadUpstream(ValueError):
    """A setting of this room that cannot be used; the text names it and says what to write."""


class ServerSpec(Struct, frozen=True):
    """One upstream server. `tls_name`: what its certificate must be good for."""

    scheme: str
    address: str
    port: int
    tls_name: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        name = f"#{self.tls_name}" if self.tls_name not in ("", self.address) else ""
        return f"{self.scheme}://{host}:{self.port}{name}"


class UpstreamConfig(Struct, frozen=True, kw_only=True):
    """What the resolver does. Times in seconds, sizes in octets.

    servers: the upstreams for all names without a rule in `forward`; `none` or nothing: no
        upstream, and names outside every rule are refused.
    forward: suffix -> servers; the longest suffix that a name ends with decides. `none` as
        the only server: names below it are answered NXDOMAIN and never leave.
    timeout: how long a client waits in all; attempt_timeout: when the next server is asked
        too, at the latest (an answer of the first one still counts).
    stale_for: how long after its end a record may still be used when upstreams fail; 0: never.
    never_leave: names whose questions stay here, besides those of `policy.py`.
    hosts: name -> addresses.
    search_zones, search_domains: the cluster's zones, and what nodes add to a search list.
    """

    servers: tuple[str, ...] = ()
    forward: dict[str, tuple[str, ...]] = {}
    policy: str = "sequential"
    timeout: float = 4.0
    attempt_timeout: float = 1.0
    max_in_flight: int = 1_000
    random_case: bool = True
    tls_ca: str = ""
    resolv_conf: str = "/etc/resolv.conf"

    cache_entries: int = 20_000
    cache_bytes: int = 16 << 20
    min_ttl: int = 0
    max_ttl: int = 86_400
    max_negative_ttl: int = 3_600
    servfail_ttl: float = 5.0
    prefetch: bool = True
    stale_for: int = 86_400
    stale_ttl: int = 30
    stale_after: float = 1.8

    never_leave: tuple[str, ...] = ()
    hosts: dict[str, tuple[str, ...]] = {}
    hosts_files: tuple[str, ...] = ()
    hosts_override: bool = False
    hosts_ttl: int = 60

    search_completion: bool = False
    search_zones: tuple[str, ...] = ()
    search_domains: tuple[str, ...] = ()


def parse_server(text: str) -> ServerSpec:
    """The server written as `text`; raises `BadUpstream`."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        scheme, rest = "udp", text.strip()
    if scheme not in PORTS:
        raise BadUpstream(f"upstream {text!r}: {scheme!r} is none of {', '.join(PORTS)}")
    rest, hashed, tls_name = rest.partition("#")
    if hashed and (scheme != "tls" or not tls_name):
        raise BadUpstream(f"upstream {text!r}: a #NAME belongs to tls:// and is not empty")
    address, port = _address_and_port(text, rest, PORTS[scheme])
    return ServerSpec(scheme, address, port, tls_name or (address if scheme == "tls" else ""))


def _address_and_port(text: str, rest: str, default: int) -> tuple[str, int]:
    if rest.startswith("["):
        host, closed, tail = rest[1:].partition("]")
        port_text = tail.removeprefix(":")
        bad_tail = not closed or (bool(tail) and not port_text) or tail == port_text != ""
    elif rest.count(":") == 1:
        host, _, port_text = rest.partition(":")
        bad_tail = not port_text
    else:
        host, port_text, bad_tail = rest, "", False
    try:
        address = str(ip_address(host))
    except ValueError:
        raise BadUpstream(
            f"upstream {text!r}: {host!r} is not an IP address (for TLS write tls://ADDRESS#NAME)"
        ) from None
    if bad_tail or (port_text and not (port_text.isdecimal() and 0 < int(port_text[:6]) < 65_536)):
        raise BadUpstream(f"upstream {text!r}: behind the address stands :PORT, 1 to 65535")
    return address, int(port_text) if port_text else default


def parse_servers(texts: tuple[str, ...], where: str, resolv_conf: str) -> tuple[ServerSpec, ...]:
    """The servers of one list, `none` and `resolv.conf` put in; raises `BadUpstream`.

    `where` is the setting the list stands in.
    """
    if "none" in texts:
        if len(texts) > 1:
            raise BadUpstream(f"{where}: 'none' stands alone")
        return ()
    out: list[ServerSpec] = []
    for text in texts:
        if text == "resolv.conf":
            out += read_resolv_conf(resolv_conf)[0]
        else:
            out.append(parse_server(text))
    if len(out) > MAX_SERVERS:
        raise BadUpstream(f"{where}: {len(out)} servers, at most {MAX_SERVERS} are of use")
    return tuple(dict.fromkeys(out))


def read_resolv_conf(path: str) -> tuple[tuple[ServerSpec, ...], tuple[str, ...]]:
    """The name servers and the search list of a file in the form of resolv.conf(5).

    Addresses with a zone (`fe80::1%eth0`) are left out. Raises `BadUpstream`.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_MAX_RESOLV_CONF + 1)
    except OSError as error:
        raise BadUpstream(f"upstream resolv.conf: {path}: {error.strerror}") from error
    if len(raw) > _MAX_RESOLV_CONF:
        raise BadUpstream(f"upstream resolv.conf: {path}: over {_MAX_RESOLV_CONF} octets")
    servers: list[ServerSpec] = []
    search: tuple[str, ...] = ()
    for line in raw.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and "%" not in words[1]:
            servers.append(parse_server(f"udp://[{words[1]}]"))
        elif len(words) >= 2 and words[0] in ("search", "domain"):
            search = tuple(words[1:]) if words[0] == "search" else (words[1],)
    if not servers:
        raise BadUpstream(f"upstream resolv.conf: {path} names no usable name server")
    return tuple(servers), search


def parse_name(text: str, where: str) -> Name:
    """The absolute name written in a setting; raises `BadUpstream`."""
    try:
        return name_from_text(text)
    except (BadName, UnicodeError) as error:
        raise BadUpstream(f"{where}: {error}") from error


def check(config: UpstreamConfig) -> UpstreamConfig:
    """The same configuration, if its numbers can be worked with; raises `BadUpstream`."""
    if config.policy not in POLICIES:
        raise BadUpstream(f"upstream_policy: {config.policy!r} is none of {', '.join(POLICIES)}")
    limits: tuple[tuple[str, float, float, float], ...] = (
        ("timeout", config.timeout, 0.01, 60),
        ("attempt_timeout", config.attempt_timeout, 0.01, 60),
        ("max_in_flight", config.max_in_flight, 1, 100_000),
        ("cache_entries", config.cache_entries, 0, 100_000_000),
        ("cache_bytes", config.cache_bytes, 0, 1 << 40),
        ("min_ttl", config.min_ttl, 0, 3_600),
        ("max_ttl", config.max_ttl, config.min_ttl, 604_800),
        ("max_negative_ttl", config.max_negative_ttl, 0, 86_400),
        ("servfail_ttl", config.servfail_ttl, 0, 300),  # RFC 2308 7.1: five minutes at most
        ("stale_for", config.stale_for, 0, 604_800),
        ("stale_ttl", config.stale_ttl, 0, 3_600),
        ("stale_after", config.stale_after, 0, 60),
        ("hosts_ttl", config.hosts_ttl, 0, 604_800),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise BadUpstream(f"{name}: {value} is not between {low} and {high}")
    if len(config.forward) > MAX_RULES:
        raise BadUpstream(f"forward: {len(config.forward)} rules, at most {MAX_RULES}")
    return config
