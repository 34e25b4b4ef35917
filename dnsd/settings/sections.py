"""Kinds of settings that are mappings, or lists of mappings.

In `settings/` (below every package but dns/). Change here: how structured values are written.

`mapping`: names with a list of values each, `{corp.example: ["udp://192.0.2.53"]}` in YAML. In a
flag or a variable, each pair is NAME=VALUE, with `+` between several values:
`--forward corp.example=udp://192.0.2.53+udp://192.0.2.54`. Pairs of one name are merged.

`records`: a list of mappings with fixed keys, each of which becomes a struct:

    outside_zones:
      - name: k8s.example.com
        ns: {ns1.k8s.example.com: [192.0.2.53]}

In a flag or a variable, such a list is in the flow style of YAML, of which JSON is a part
(`Kind.flow`; `load.py` reads it): `--outside-zones '{name: k8s.example.com, ttl: 60}'`.

The fields of the struct declare the kinds of the keys:
`ttl: Annotated[int, integer(0, 3600)] = -1`. A field without a default is required.
"""

from __future__ import annotations

import functools
from typing import Any, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from dnsd.settings.kinds import MAX_ITEMS, BadValue, Kind, items_of, pieces


def mapping(key: Kind, item: Kind, metavar: str) -> Kind:
    """Names with a list of items each, as a dict of tuples in the order given."""

    def parse(value: object) -> dict[str, tuple[str, ...]]:
        pairs = _pairs(value)
        if len(pairs) > MAX_ITEMS:
            raise BadValue(value, f"has {len(pairs)} names, the limit is {MAX_ITEMS}")
        out: dict[str, dict[str, None]] = {}
        for name, items in pairs:
            if not items:
                raise BadValue(name, "has no value")
            known = out.setdefault(key.parse(name), {})
            known.update((item.parse(one), None) for one in items)
        return {name: tuple(items) for name, items in out.items()}

    def show(values: dict[str, tuple[str, ...]]) -> str:
        inside = (
            f"{key.show(name)}: [{', '.join(map(item.show, items))}]"
            for name, items in values.items()
        )
        return "{" + ", ".join(inside) + "}"

    return Kind(f"map of {key.name} to {item.name}s", metavar, parse, show, many=True)


def _pairs(value: object) -> list[tuple[str, list[object]]]:
    if isinstance(value, dict):
        return [(str(name), _items(items)) for name, items in value.items()]
    if isinstance(value, str):
        value = pieces(value)
    if not isinstance(value, (list, tuple)):
        raise BadValue(value, "is not a mapping of names")
    out: list[tuple[str, list[object]]] = []
    for text in value:
        name, found, items = str(text).partition("=")
        if not found:
            raise BadValue(text, "is not NAME=VALUE")
        out.append((name.strip(), [*pieces(items, "+")]))
    return out


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def records(cls: type[Struct], noun: str, metavar: str, short: str = "") -> Kind:
    """A list of `cls`, each once. `short`: the field that a bare text stands for.

    `noun`: the plural noun of the reference. An `__post_init__` of `cls` may raise BadValue.
    """

    def parse_one(value: object) -> Struct:
        if short and isinstance(value, str):
            value = {short: value}
        return _record(cls, value)

    def parse(value: object) -> tuple[Struct, ...]:
        return tuple(dict.fromkeys(map(parse_one, items_of(value, "mappings"))))

    def show(values: tuple[Struct, ...]) -> str:
        return "[" + ", ".join(_show(one) for one in values) + "]"

    return Kind(f"list of {noun}", metavar, parse, show, many=True, flow=True)


@functools.cache
def _kinds(cls: type[Struct]) -> dict[str, tuple[str, Kind, Any]]:
    """Key -> (field, kind, default) of the struct of a record."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        field.encode_name: (field.name, hints[field.name].__metadata__[0], field.default)
        for field in fields(cls)
    }


def _record(cls: type[Struct], value: object) -> Struct:
    """The record of a mapping. Raises BadValue that names the key."""
    kinds = _kinds(cls)
    if not isinstance(value, dict):
        raise BadValue(value, f"is not a mapping of {', '.join(kinds)}")
    values = {}
    for key, item in value.items():
        if key not in kinds:
            raise BadValue(key, f"is not one of {', '.join(kinds)}")
        field, kind, _ = kinds[key]
        try:
            values[field] = kind.parse(item)
        except BadValue as error:
            raise BadValue(error.value, f"({key}) {error.problem}") from None
    for key, (field, _, default) in kinds.items():
        if default is NODEFAULT and not values.get(field):
            raise BadValue(value, f"has no {key}")
    try:
        return cls(**values)
    except ValueError as error:
        raise BadValue(value, str(error)) from None


def _show(record: Struct) -> str:
    given = (
        f"{key}: {kind.show(getattr(record, field))}"
        for key, (field, kind, default) in _kinds(type(record)).items()
        if getattr(record, field) != default
    )
    return "{" + ", ".join(given) + "}"
