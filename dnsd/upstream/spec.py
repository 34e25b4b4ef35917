"""Upstream servers as they are written in settings and in resolv.conf.

In `upstream/` (data plane: external names). Change here: how a server is written.

A server is `udp://ADDRESS[:PORT]`, `tcp://…`, or `tls://ADDRESS[:PORT][#NAME]`; a bare address
means `udp://`. IPv6 addresses with a port are in brackets. Host names are not allowed, because dnsd
would need an upstream server to resolve the name of its upstream server. The certificate of a TLS
server must be valid for NAME, or for the address without a NAME.

`resolv.conf` means the name servers of that file, and `none` no upstream server at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

PORTS = {"udp": 53, "tcp": 53, "tls": 853}
MAX_SERVERS = 16  # of one list; resolv.conf itself has three at most
_MAX_RESOLV_CONF = 65_536  # octets
_ENDPOINT = re.compile(
    r"(?:\[(?P<six>[^]]+)\]|(?P<four>[^:\[\]]+)|(?P<bare>[^\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)


class BadUpstream(ValueError):
    """A setting of this package that cannot be used; the text has the value and the remedy."""


class ServerSpec(Struct, frozen=True):
    """One upstream server. `tls_name`: the name in its certificate."""

    scheme: str
    address: str
    port: int
    tls_name: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        name = f"#{self.tls_name}" if self.tls_name not in ("", self.address) else ""
        return f"{self.scheme}://{host}:{self.port}{name}"


def parse_server(text: str) -> ServerSpec:
    """The server written as `text`; raises `BadUpstream`."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        scheme, rest = "udp", text.strip()
    if scheme not in PORTS:
        raise BadUpstream(f"upstream {text!r}: {scheme!r} is not one of {', '.join(PORTS)}")
    rest, hashed, tls_name = rest.partition("#")
    if hashed and (scheme != "tls" or not tls_name):
        raise BadUpstream(
            f"upstream {text!r}: #NAME is allowed only with tls://, and must not be empty"
        )
    match = _ENDPOINT.fullmatch(rest)
    port = int(match["port"] or PORTS[scheme]) if match else 0
    try:
        address = str(ip_address((match["six"] or match["four"] or match["bare"]) if match else ""))
    except ValueError:
        port = 0
    if not 0 < port < 65_536:
        raise BadUpstream(
            f"upstream {text!r}: {rest!r} is not an IP address with an optional :PORT of 1 to 65535"
            " (IPv6 with a port is [ADDRESS]:PORT; for TLS write tls://ADDRESS#NAME)"
        )
    return ServerSpec(scheme, address, port, tls_name or (address if scheme == "tls" else ""))


def parse_servers(texts: Sequence[str], resolv_conf: str) -> tuple[ServerSpec, ...]:
    """The servers of one list, with those of `resolv.conf`; raises `BadUpstream`."""
    if "none" in texts:
        if len(texts) > 1:
            raise BadUpstream("'none' must be alone; remove it or the other servers")
        return ()
    out: list[ServerSpec] = []
    for text in texts:
        if text == "resolv.conf":
            out += read_resolv_conf(resolv_conf)[0]
        else:
            out.append(parse_server(text))
    if len(out) > MAX_SERVERS:
        raise BadUpstream(f"{len(out)} servers; give at most {MAX_SERVERS}")
    return tuple(dict.fromkeys(out))


def read_lines(path: str, limit: int) -> list[str]:
    """The lines of a file of at most `limit` octets; raises `BadUpstream`."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise BadUpstream(f"{path}: {error.strerror}") from error
    if len(raw) > limit:
        raise BadUpstream(f"{path}: over {limit} octets")
    return raw.decode("utf-8", "replace").splitlines()


def read_resolv_conf(path: str) -> tuple[tuple[ServerSpec, ...], tuple[str, ...]]:
    """The name servers and the search list of a file in the format of resolv.conf(5).

    Addresses with a zone (`fe80::1%eth0`) are left out. Raises `BadUpstream`.
    """
    servers: list[ServerSpec] = []
    search: tuple[str, ...] = ()
    for line in read_lines(path, _MAX_RESOLV_CONF):
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values and "%" not in values[0]:
            servers.append(parse_server(f"udp://[{values[0]}]"))
        elif keyword in ("search", "domain") and values:
            search = tuple(values if keyword == "search" else values[:1])
    if not servers:
        raise BadUpstream(f"upstream resolv.conf: {path} has no usable name server")
    return tuple(servers), search
