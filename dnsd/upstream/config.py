"""The settings of this room, and the servers they name.

A server is written `udp://ADDRESS[:PORT]`, `tcp://…` or `tls://ADDRESS[:PORT][#NAME]`; a bare
address means `udp://`. IPv6 addresses with a port stand in brackets. There are no host
names: whoever looks names up for a living cannot wait for somebody to look up his own
upstream. A TLS server's certificate must be good for NAME, or for its address without one.

`resolv.conf` stands for the name servers of that file, `none` for no upstream at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from dnsd.dns.names import BadName, Name, name_from_text

PORTS = {"udp": 53, "tcp": 53, "tls": 853}
MAX_SERVERS = 16  # of one list; resolv.conf itself has three at most
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


def parse_server(text: str) -> ServerSpec:
    """The server written as `text`; raises `BadUpstream`."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        scheme, rest = "udp", text.strip()
    if scheme not in PORTS:
        raise BadUpstream(f"upstream {text!r}: {scheme!r} is not one of {', '.join(PORTS)}")
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


def parse_servers(texts: Sequence[str], resolv_conf: str) -> tuple[ServerSpec, ...]:
    """The servers of one list, with those of `resolv.conf`; raises `BadUpstream`."""
    if "none" in texts:
        if len(texts) > 1:
            raise BadUpstream("'none' stands alone; remove it or the other servers")
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
