"""What a setting and a section are, and how sections compose the settings of one run.

In `settings/` (below every package but dns/). Change here: what a declaration can state.

A package declares its settings in its own `settings.py`, as fields of a frozen msgspec struct: its
section. One field is the whole declaration of a setting:

    class TcpLimits(Struct, frozen=True, rename=prefixed("tcp_")):
        max_per_client: Annotated[int, Setting(Group.LIMITS, integer(1, 100_000),
            "TCP connections of one client address in one worker.", reload=True)] = 100

The flag (`--tcp-max-per-client`), the environment variable (`DNSD_TCP_MAX_PER_CLIENT`), the key of
the YAML file (`tcp_max_per_client`), the help, docs/settings.md, and config/dnsd.yaml derive from
it. The name of a setting is the encoded name of its field (`rename=`, `field(name=)`).

The section is also what configures the package, and it crosses the boundary to the worker
processes as it is. A field without a `Setting` is not a setting: a constant of the package, or a
value that the control process resolves. A field whose type is a struct is a section of the section.

`reload=True` marks what SIGHUP changes in a running dnsd. Any other setting (sockets, sources, the
number of processes) needs a restart.

This module does no I/O, because zone/ and answer/ import it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields, replace

from dnsd.settings.kinds import Kind

PREFIX = "DNSD_"


class Group(StrEnum):
    """The groups of the help and the reference, in their order."""

    SOURCES = "Where Services come from"
    LISTENING = "Where dnsd listens"
    NAMES = "Which names exist"
    EXTERNAL = "External zones"
    VIEWS = "Views and policies"
    ANSWERS = "How questions are answered"
    FORWARDING = "Forwarding and caching"
    ADMIN = "The admin API"
    LIMITS = "Limits"
    RUNNING = "Running"


class SettingsError(ValueError):
    """The configuration cannot be used. `problems`: one line each, with the origin of the value."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class BadSetting(SettingsError):
    """The value of the setting `name` cannot be used; a package raises it for its own section.

    A package does not have the origins of values; `Composed.naming` puts the origin in its place.
    """

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"{name}: {problem}")


class Setting(Struct, frozen=True):
    """What a setting is beyond its name, type, and default."""

    group: Group
    kind: Kind
    help: str  # sentences; a list states what an empty list means ("Empty: ...")
    example: str = ""  # as YAML writes it; "": the default is example enough
    reload: bool = False  # SIGHUP can change it
    in_file: bool = True  # False: a flag or a variable only


class Declared(Struct, frozen=True):
    """A setting of composed sections: `path` is the attributes that lead to its value."""

    setting: Setting
    path: tuple[str, ...]


class Composed(Struct, frozen=True, kw_only=True):
    """Sections as one set of settings; a subclass has a field for each section.

    `origins`: setting name -> where its value is from: "--listen", "DNSD_LISTEN", or
    "dnsd.yaml:3: listen". A setting that is not in it has its default.
    """

    origins: dict[str, str] = {}

    @classmethod
    def of(cls, origins: Mapping[str, str] = {}, /, **values: Any) -> Self:
        """The settings with these values by setting name, as their kinds read them."""
        return replace(cls().updated(**values), origins=dict(origins))

    def updated(self, **values: Any) -> Self:
        """The same settings with these values by setting name. Raises TypeError for other names."""
        if unknown := values.keys() - declared(type(self)).keys():
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        return _with(self, values)

    def value(self, name: str) -> Any:
        """The value of the setting `name`."""
        return functools.reduce(getattr, declared(type(self))[name].path, self)

    def effective(self) -> dict[str, str]:
        """Setting name -> its value as YAML writes it, for the admin API."""
        settings = declared(type(self))
        return {name: one.setting.kind.show(self.value(name)) for name, one in settings.items()}

    def named(self, name: str) -> str:
        """The origin of the setting `name` for an error message; its flag for a default."""
        return self.origins.get(name, flag_of(name))

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Raises a SettingsError with the origin of the value for each BadSetting."""
        try:
            yield
        except BadSetting as error:
            raise SettingsError(f"{self.named(error.name)}: {error.problem}") from error


S = TypeVar("S", bound=Composed)
T = TypeVar("T", bound=Struct)


def prefixed(prefix: str) -> Callable[[str], str]:
    """A `rename=` for sections: each setting is named `prefix` and its field."""
    return lambda name: prefix + name


@functools.cache
def _declarations(section: type[Struct]) -> tuple[tuple[str, str, Setting | type[Struct]], ...]:
    """(field, setting name, declaration) of a section's settings, and its nested sections."""
    hints = get_type_hints(section, include_extras=True)
    found: list[tuple[str, str, Setting | type[Struct]]] = []
    for field in fields(section):
        hint = hints[field.name]
        if get_origin(hint) is Annotated:
            own = [one for one in get_args(hint)[1:] if isinstance(one, Setting)]
            found += [(field.name, field.encode_name, setting) for setting in own]
        elif isinstance(hint, type) and issubclass(hint, Struct):
            found.append((field.name, "", hint))
    return tuple(found)


@functools.cache
def declared(cls: type[Struct]) -> dict[str, Declared]:
    """Every setting of the composed sections by name, in the order of groups and declarations."""
    found = sorted(_walk(cls, ()), key=lambda one: list(Group).index(one[1].setting.group))
    out = dict(found)
    if len(out) != len(found):
        raise TypeError(f"two settings of {cls.__name__} have one name")
    return out


def _walk(section: type[Struct], path: tuple[str, ...]) -> Iterator[tuple[str, Declared]]:
    for field, name, declaration in _declarations(section):
        if isinstance(declaration, Setting):
            yield name, Declared(declaration, (*path, field))
        else:
            yield from _walk(declaration, (*path, field))


def _with(section: T, values: Mapping[str, Any]) -> T:
    """The section with these values, by setting name."""
    new = {}
    for field, name, declaration in _declarations(type(section)):
        if not isinstance(declaration, Setting):
            new[field] = _with(getattr(section, field), values)
        elif name in values:
            new[field] = values[name]
    return replace(section, **new)


def flag_of(name: str) -> str:
    """The flag of a setting: `--tcp-idle-timeout`."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """The environment variable of a setting: `DNSD_TCP_IDLE_TIMEOUT`."""
    return PREFIX + name.upper()


def changed(old: S, new: S) -> tuple[list[str], list[str]]:
    """The names of the settings that differ: those that SIGHUP changes, and those it cannot."""
    settings = declared(type(old))
    differ = [name for name in settings if old.value(name) != new.value(name)]
    now = [name for name in differ if settings[name].setting.reload]
    return now, [name for name in differ if name not in now and settings[name].setting.in_file]


def keep(old: S, new: S, names: Iterable[str]) -> S:
    """`new`, with the settings `names` as they are in `old`."""
    return new.updated(**{name: old.value(name) for name in names})
