"""Kinds of settings that are lists of sections: outside zones, views, policies.

In a YAML file each is a list of mappings,

    outside_zones:
      - name: k8s.example.com
        ns: {ns1.k8s.example.com: [192.0.2.53]}

As a flag or a variable the same is written in YAML's flow style, which JSON is a part of:
`--outside-zones '{name: k8s.example.com, ttl: 60}'`; an outside zone of which only the name is
to be said may be just that. The structs here are what the settings hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from dnsd.settings.kinds import (
    CIDR,
    DOMAIN,
    MAX_ITEMS,
    TEXT,
    ZONE_NAME,
    BadValue,
    Kind,
    choice,
    integer,
    several,
)
from dnsd.settings.mappings import HOSTS, Pairs

_MAX_TEXT = 1 << 16  # characters of sections written as text
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ZoneSection(Struct, frozen=True):
    """An outside zone. `ns`: its name servers, each with its addresses; `ttl` -1: as `ttl`."""

    name: str
    ns: Pairs = ()
    ttl: int = -1


class ViewSection(Struct, frozen=True):
    """Which zones clients of these networks see: inside, outside, both."""

    networks: tuple[str, ...]
    see: str


class PolicySection(Struct, frozen=True):
    """Which namespaces' names these clients see: pods of `namespaces`, hosts of `networks`.

    `*` stands for any namespace, `own` (in `see`) for the one a pod is in.
    """

    namespaces: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    see: tuple[str, ...] = ()


def _namespace(value: object) -> str:
    text = str(TEXT.parse(value)).strip()
    if text != "*" and not _LABEL.fullmatch(text):
        raise BadValue(value, "is no namespace; write its name, or * for all")
    return text


NAMESPACE = Kind("namespace", "NAMESPACE", _namespace, lambda text: f'"{text}"')


def _servers(value: object) -> Pairs:
    """Name servers: a mapping to addresses, or names alone."""
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return tuple((str(DOMAIN.parse(name)), ()) for name in value)
    if isinstance(value, dict):
        given = {name: items for name, items in value.items() if items}
        found = dict(HOSTS.parse(given)) if given else {}
        return tuple((text, found.get(text, ())) for text in map(DOMAIN.parse, value))
    raise BadValue(value, "is no mapping of name servers to their addresses")


_SERVERS = Kind("name servers", "NS", _servers, HOSTS.show)
_Fields = Mapping[str, Kind]


def _read(value: object, fields: _Fields, needed: tuple[str, ...]) -> dict[str, Any]:
    """The fields of one section. Raises BadValue that names the field."""
    if not isinstance(value, dict):
        raise BadValue(value, f"is no mapping of {', '.join(fields)}")
    out = {}
    for key, item in value.items():
        if key not in fields:
            raise BadValue(key, f"is none of {', '.join(fields)}")
        try:
            out[key] = fields[key].parse(item)
        except BadValue as error:
            raise BadValue(error.value, f"({key}) {error.problem}") from None
    for key in needed:
        if not out.get(key):
            raise BadValue(value, f"has no {key}")
    return out


def _show(fields: _Fields, defaults: Struct) -> Callable[[Struct], str]:
    def show(section: Struct) -> str:
        said = [
            f"{name}: {kind.show(getattr(section, name))}"
            for name, kind in fields.items()
            if getattr(section, name) != getattr(defaults, name)
        ]
        return "{" + ", ".join(said) + "}"

    return show


_ZONE: _Fields = {"name": ZONE_NAME, "ns": _SERVERS, "ttl": integer(0, 3600)}
_VIEW: _Fields = {"networks": several(CIDR), "see": choice("inside", "outside", "both")}
_POLICY: _Fields = {
    "namespaces": several(NAMESPACE),
    "networks": several(CIDR),
    "see": several(NAMESPACE),
}


def _zone(value: object) -> ZoneSection:
    if isinstance(value, str):
        value = {"name": value}
    return ZoneSection(**_read(value, _ZONE, ("name",)))


def _view(value: object) -> ViewSection:
    return ViewSection(**_read(value, _VIEW, ("networks", "see")))


def _policy(value: object) -> PolicySection:
    policy = PolicySection(**_read(value, _POLICY, ()))
    if not (policy.namespaces or policy.networks):
        raise BadValue(value, "names no clients; give namespaces or networks")
    return policy


def _sections(
    name: str, metavar: str, parse_one: Callable[[object], Any], show_one: Callable[[Any], str]
) -> Kind:
    """A list of sections; text is YAML in flow style."""

    def parse(value: object) -> tuple[Any, ...]:
        items = [one for part in _parts(value) for one in _plain(part)]
        if len(items) > MAX_ITEMS:
            raise BadValue(value, f"has {len(items)} sections, the limit is {MAX_ITEMS}")
        return tuple(dict.fromkeys(parse_one(item) for item in items))

    def show(sections: tuple[Any, ...]) -> str:
        return "[" + ", ".join(map(show_one, sections)) + "]"

    return Kind(f"list of {name}s".replace("policys", "policies"), metavar, parse, show, many=True)


def _parts(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _plain(part: object) -> list[object]:
    """What a text in flow style says; anything else is what it is."""
    if not isinstance(part, str):
        return [part]
    if part.lstrip()[:1] not in ("{", "["):
        return [one for one in (piece.strip() for piece in part.split(",")) if one]
    if len(part) > _MAX_TEXT:
        raise BadValue(part, f"has {len(part)} characters, the limit is {_MAX_TEXT}")
    import yaml  # 20 ms that a start without sections does not pay

    try:
        return _parts(yaml.load(part, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        raise BadValue(part, "is no YAML in one line, like {name: k8s.example.com}") from None


ZONES = _sections("outside zone", "ZONE", _zone, _show(_ZONE, ZoneSection("")))
VIEWS = _sections("view", "VIEW", _view, _show(_VIEW, ViewSection((), "")))
POLICIES = _sections("policy", "POLICY", _policy, _show(_POLICY, PolicySection()))
