"""The settings of forwarding: upstream servers, rules, hosts, the cache, and search completion.

In `upstream/` (data plane: external names). Change here: the configuration of the resolver.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from dnsd.dns.addresses import is_address
from dnsd.dns.names import ROOT, Name
from dnsd.settings.kinds import (
    BOOLEAN,
    DOMAIN,
    NAME,
    PACKED_IP,
    TEXT,
    BadValue,
    Kind,
    choice,
    duration,
    in_quotes,
    integer,
    several,
    size,
)
from dnsd.settings.paths import FILE
from dnsd.settings.schema import Group, Setting
from dnsd.settings.sections import mapping
from dnsd.upstream.spec import BadUpstream, parse_server


def _upstream(value: object) -> str:
    text = str(TEXT.parse(value)).strip()
    if text in ("none", "resolv.conf"):
        return text
    try:
        return str(parse_server(text))
    except BadUpstream as error:
        raise BadValue(value, f"cannot be used: {error}") from None


def _suffix(value: object) -> Name:
    return ROOT if value == "." else bytes(NAME.parse(value))


def _show_suffix(suffix: Name) -> str:
    return NAME.show(suffix) if suffix != ROOT else '"."'


def _host(value: object) -> Name:
    from dnsd.cluster.validation import is_host_name  # a worker has no use for it

    text = DOMAIN.parse(value)
    if is_address(text) or not is_host_name(text):
        raise BadValue(value, "is not a host name, like db.corp.example")
    return bytes(NAME.parse(text))


UPSTREAM = Kind("upstream", "SERVER", _upstream, in_quotes)
RULES = mapping(Kind("suffix", "SUFFIX", _suffix, _show_suffix), UPSTREAM, "SUFFIX=SERVER")
HOSTS = mapping(Kind(DOMAIN.name, DOMAIN.metavar, _host, NAME.show), PACKED_IP, "NAME=ADDRESS")
_NAMES = {
    "servers": "upstream",
    "policy": "upstream_policy",
    "timeout": "upstream_timeout",
    "attempt_timeout": "upstream_attempt_timeout",
    "tls_ca": "upstream_tls_ca",
    "cache_bytes": "cache_size",
    "min_ttl": "cache_min_ttl",
    "max_ttl": "cache_max_ttl",
    "max_negative_ttl": "cache_max_negative_ttl",
    "stale_for": "serve_stale",
}


class UpstreamConfig(Struct, frozen=True, kw_only=True, rename=_NAMES):
    """The configuration of the resolver. Times in seconds, sizes in octets.

    The control process resolves `servers` and `forward` (`resolv.conf` becomes addresses),
    `search_domains`, and `search_zones`, the zones of the cluster. The other fields without a
    declaration are constants that tests change. RFC 2308 7.1 limits `servfail_ttl` to five minutes.
    """

    # fmt: off
    servers: Annotated[tuple[str, ...], Setting(Group.FORWARDING, several(UPSTREAM),
        "Servers for external names: udp://, tcp://, or tls://ADDRESS[:PORT][#NAME]; resolv.conf is"
        " the servers of the system; none refuses external names. Empty: none with manifests,"
        " resolv.conf with a cluster.", '["udp://192.0.2.53", "tls://192.0.2.54#dns.example"]',
        reload=True)] = ()
    policy: Annotated[str, Setting(Group.FORWARDING, choice("sequential", "random", "fastest"),
        "Which upstream dnsd queries first: the first in the list, any, or the one with the least"
        " smoothed latency. dnsd queries the others if it fails or is late.",
        reload=True)] = "sequential"
    timeout: Annotated[float, Setting(Group.FORWARDING, duration(0.05, 60),
        "How long a client waits for upstreams in total.", reload=True)] = 4.0
    attempt_timeout: Annotated[float, Setting(Group.FORWARDING, duration(0.01, 60),
        "The time after which dnsd queries the next upstream too.", reload=True)] = 1.0
    tls_ca: Annotated[str, Setting(Group.FORWARDING, FILE,
        "Certificate authorities for tls:// upstreams (PEM). Default: those of the system.",
        "/etc/ssl/certs/ca-certificates.crt", reload=True)] = ""
    forward: Annotated[dict[Name, tuple[str, ...]], Setting(Group.FORWARDING, RULES,
        "Other upstreams for names below a suffix; the longest suffix decides. none answers"
        " NXDOMAIN without a query to any upstream. Empty: upstream is for every external name.",
        '{corp.example: ["udp://192.0.2.55"], ads.example: none}', reload=True)] = {}
    never_leave: Annotated[tuple[Name, ...], Setting(Group.FORWARDING, several(NAME),
        "Names that dnsd never sends to an upstream, besides localhost, invalid, onion, local,"
        " home.arpa, private reverse zones, and single labels. Empty: only those.",
        "[secret.example]", reload=True)] = ()
    hosts: Annotated[dict[Name, tuple[bytes, ...]], Setting(Group.FORWARDING, HOSTS,
        "Names with fixed addresses. They override upstreams, but not the names of a Service."
        " Empty: no such names.", '{db.corp.example: ["10.1.2.3", "fd00::3"]}',
        reload=True)] = {}
    hosts_files: Annotated[tuple[str, ...], Setting(Group.FORWARDING, several(FILE),
        "Files of names with fixed addresses, in the form of /etc/hosts. dnsd follows their"
        " changes. Empty: no files.", "[/etc/hosts]", reload=True)] = ()
    hosts_override: Annotated[bool, Setting(Group.FORWARDING, BOOLEAN,
        "The names of the setting hosts override the names of a Service too.",
        reload=True)] = False
    search_completion: Annotated[bool, Setting(Group.FORWARDING, BOOLEAN,
        "Walk the search list of a pod for it: five queries become one. Needs pods: verified.",
        reload=True)] = False
    search_domains: Annotated[tuple[Name, ...], Setting(Group.FORWARDING, several(NAME),
        "The domains that nodes add to the search list of pods. Empty: the search list of"
        " /etc/resolv.conf where dnsd runs.", "[ec2.internal]", reload=True)] = ()
    cache_entries: Annotated[int, Setting(Group.FORWARDING, integer(0, 100_000_000),
        "Replies of upstreams that each worker caches at most; 0: no cache.",
        reload=True)] = 20_000
    cache_bytes: Annotated[int, Setting(Group.FORWARDING, size(0, 1 << 40),
        "Memory for cached replies in each worker.", reload=True)] = 16 << 20
    min_ttl: Annotated[int, Setting(Group.FORWARDING, integer(0, 3600),
        "Shortest time in seconds for which dnsd caches a reply.", reload=True)] = 0
    max_ttl: Annotated[int, Setting(Group.FORWARDING, integer(1, 604_800),
        "Longest time in seconds for which dnsd caches a reply.", reload=True)] = 86_400
    max_negative_ttl: Annotated[int, Setting(Group.FORWARDING, integer(0, 86_400),
        "Longest time in seconds for which dnsd caches a negative reply (NXDOMAIN, NODATA).",
        reload=True)] = 3_600
    prefetch: Annotated[bool, Setting(Group.FORWARDING, BOOLEAN,
        "Query popular names again shortly before the TTL of their reply ends.",
        reload=True)] = True
    stale_for: Annotated[float, Setting(Group.FORWARDING, duration(0, 604_800),
        "How long after its TTL dnsd may still use a reply when upstreams fail (RFC 8767); 0s:"
        " never.", reload=True)] = 86_400.0
    max_in_flight: Annotated[int, Setting(Group.FORWARDING, integer(1, 100_000),
        "Queries of one worker that wait for upstreams; dnsd refuses more at once.",
        reload=True)] = 1_000
    # fmt: on
    random_case: bool = True
    resolv_conf: str = "/etc/resolv.conf"
    servfail_ttl: float = 5.0
    stale_ttl: int = 30
    stale_after: float = 1.8
    hosts_ttl: int = 60
    search_zones: tuple[Name, ...] = ()
