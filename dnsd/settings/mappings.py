"""Kinds of settings that map names to something: forward rules, pinned names.

In a YAML file they are mappings, `{corp.example: ["udp://192.0.2.53"]}`. As a flag or a
variable each pair is written NAME=VALUE, several values with a plus sign between:
`--forward corp.example=udp://192.0.2.53+udp://192.0.2.54`. Pairs with one name are one.
"""

from __future__ import annotations

from collections.abc import Callable

from dnsd.settings.kinds import DOMAIN, IP, MAX_ITEMS, TEXT, BadValue, Kind
from dnsd.upstream.config import BadUpstream, parse_server

Pairs = tuple[tuple[str, tuple[str, ...]], ...]


def _upstream(value: object) -> str:
    text = str(TEXT.parse(value)).strip()
    if text in ("none", "resolv.conf"):
        return text
    try:
        return str(parse_server(text))
    except BadUpstream as error:
        raise BadValue(value, f"cannot be asked: {error}") from None


UPSTREAM = Kind("upstream", "SERVER", _upstream, lambda value: f'"{value}"')


def mapping(key: Kind, item: Kind, metavar: str) -> Kind:
    """Names with a list of items each, as (name, items) pairs in the order given."""

    def parse(value: object) -> Pairs:
        pairs = list(_pairs(value))
        if len(pairs) > MAX_ITEMS:
            raise BadValue(value, f"has {len(pairs)} names, the limit is {MAX_ITEMS}")
        out: dict[str, dict[str, None]] = {}
        for name, items in pairs:
            if not items:
                raise BadValue(name, "has nothing behind it")
            known = out.setdefault(key.parse(name), {})
            known.update((item.parse(one), None) for one in items)
        return tuple((name, tuple(items)) for name, items in out.items())

    def show(pairs: Pairs) -> str:
        inside = (
            f"{key.show(name)}: [{', '.join(item.show(one) for one in items)}]"
            for name, items in pairs
        )
        return "{" + ", ".join(inside) + "}"

    return Kind(f"map of {key.name} to {item.name}s", metavar, parse, show, many=True)


def _pairs(value: object) -> list[tuple[str, list[object]]]:
    if isinstance(value, dict):
        return [
            (str(name), list(items) if isinstance(items, (list, tuple)) else [items])
            for name, items in value.items()
        ]
    if isinstance(value, str):
        value = [part for part in (piece.strip() for piece in value.split(",")) if part]
    if not isinstance(value, (list, tuple)):
        raise BadValue(value, "is no mapping of names")
    out: list[tuple[str, list[object]]] = []
    for text in value:
        name, found, items = str(text).partition("=")
        if not found:
            raise BadValue(text, "is not NAME=VALUE")
        out.append((name.strip(), [one.strip() for one in items.split("+") if one.strip()]))
    return out


def _or_root(kind: Kind) -> Callable[[object], str]:
    """A domain name; the root is written "."."""

    def parse(value: object) -> str:
        if value == ".":
            return "."
        return str(kind.parse(value))

    return parse


_SUFFIX = Kind("suffix", "SUFFIX", _or_root(DOMAIN), lambda name: f'"{name}"')
RULES = mapping(_SUFFIX, UPSTREAM, "SUFFIX=SERVER")
HOSTS = mapping(DOMAIN, IP, "NAME=ADDRESS")
