"""Reads the settings from flags, environment variables, and a YAML file.

In `settings/` (below every package but dns/). Change here: precedence, and errors of the file.

A flag overrides a variable, and a variable overrides the file, for each setting; a list replaces a
list. `load` collects every problem and raises them as one `SettingsError`. Each problem names the
origin of the value, so one run reports all of them.

An unknown name is an error that suggests the nearest setting: a typing error that is ignored is
worse than a start that fails.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from dnsd.settings.kinds import BadValue, quoted
from dnsd.settings.schema import (
    PREFIX,
    Declared,
    S,
    SettingsError,
    declared,
    flag_of,
    variable_of,
)

# Variables with that prefix that are not settings: of the tests, of the commands that query a
# running dnsd (dnsd.commands.remote), and of Kubernetes, which sets some in every container for a
# Service named dnsd or dnsd-...
# (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
OTHER_VARIABLES = frozenset({"DNSD_CI", "DNSD_SERVER", "DNSD_TOKEN", "DNSD_TOKEN_FILE"})
_SERVICE_LINK = re.compile(
    r"DNSD_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
MAX_FILE = 1 << 20  # octets of a configuration file
_MAX_FLOW = 1 << 16  # characters of a value in flow style
_MAX_DEPTH = 100  # nested collections; a setting has three

# The values of one source: setting name -> (origin, the value before it is read).
Given = dict[str, tuple[str, object]]
_Declarations = Mapping[str, Declared]


def load(cls: type[S], flags: Mapping[str, object], environ: Mapping[str, str]) -> S:
    """The settings of the flags, the environment, and the file that one of them names.

    `flags`: setting name -> text, list of texts, or bool from the command line, without the flags
    that were not given. `environ`: all variables of the process. Raises SettingsError with every
    problem.
    """
    known, problems = declared(cls), list[str]()
    given = _from_environ(known, environ, problems)
    given.update({name: (flag_of(name), value) for name, value in flags.items()})
    if "config" in given:
        path = _parse(known, given, "config", problems)
        given = {**(_read_file(known, path, problems) if path else {}), **given}
    values = {name: _parse(known, given, name, problems) for name in given}
    if problems:
        raise SettingsError(*dict.fromkeys(problems))
    return cls.of({name: origin for name, (origin, _) in given.items()}, **values)


def _parse(known: _Declarations, given: Given, name: str, problems: list[str]) -> Any:
    origin, value = given[name]
    kind = known[name].setting.kind
    try:
        return kind.parse(_from_flow(value) if kind.flow else value)
    except BadValue as error:
        problems.append(f"{origin}: {error}")
        return None


def _from_flow(value: object) -> object:
    """The items of text in the flow style of YAML; any other value as it is."""
    if isinstance(value, (list, tuple)):
        read = [_from_flow(part) for part in value]
        return [one for part in read for one in (part if isinstance(part, list) else [part])]
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    if len(value) > _MAX_FLOW:
        raise BadValue(value, f"has {len(value)} characters, the limit is {_MAX_FLOW}")
    import yaml  # its import takes 20 ms; a start without such settings skips it

    try:
        return _yaml_loader(value).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError):
        raise BadValue(value, "is not YAML in one line, like {name: k8s.example.com}") from None


def _from_environ(known: _Declarations, environ: Mapping[str, str], problems: list[str]) -> Given:
    names = {variable_of(name): name for name in known}
    given: Given = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or not environ[variable]:
            continue  # an empty variable counts as not set
        if variable in names:
            given[names[variable]] = (variable, environ[variable])
        elif variable not in OTHER_VARIABLES and not _SERVICE_LINK.fullmatch(variable):
            problems.append(f"{variable}: no such setting{_nearest(variable, names)}")
    return given


def _read_file(known: _Declarations, path: str, problems: list[str]) -> Given:
    """The values of a configuration file; appends its problems to `problems`."""
    import yaml  # its import takes 20 ms; a start without a file skips it

    try:
        return _from_entries(known, path, _entries(path), problems)
    except SettingsError as error:
        problems.extend(error.problems)
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problems.append(f"{path}{_yaml_problem(error)}")
    return {}


def _entries(path: str) -> list[tuple[str, int, object]]:
    """(key, line, value) of a configuration file."""
    with open(path, "rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise SettingsError(f"{path}: is over {MAX_FILE} bytes, too large for a configuration")
    loader = _yaml_loader(content)
    root = loader.get_single_node()
    if root is None:
        return []
    if root.id != "mapping":
        line = root.start_mark.line + 1
        raise SettingsError(f"{path}:{line}: is not a mapping of settings, like ttl: 5")
    entries = []
    for key, node in root.value:
        line = key.start_mark.line + 1
        if key.id != "scalar":
            raise SettingsError(f"{path}:{line}: a key must be a word")
        entries.append((key.value, line, loader.construct_object(node, deep=True)))
    return entries


def _yaml_loader(content: str | bytes) -> Any:
    """A loader of this YAML. Raises YAMLError.

    The C loader recurses without a limit, and the stack of the process is its end. Its events do
    not recurse, so they are read first.
    """
    import yaml

    cls: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for event in yaml.parse(content, cls):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            problem = f"collections are nested more than {_MAX_DEPTH} deep"
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
    return cls(content)


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error) or "is nested too deeply"
    problem = str(problem).splitlines()[0][:200]
    place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    return f"{place}: is not valid YAML: {problem}"


def _from_entries(
    known: _Declarations, path: str, entries: Iterable[tuple[str, int, object]], problems: list[str]
) -> Given:
    names = [name for name, one in known.items() if one.setting.in_file]
    given: Given = {}
    for key, line, value in entries:
        origin = f"{path}:{line}: {quoted(key)}"
        if key not in names:
            problems.append(f"{origin}: no such setting{_nearest(key, names)}")
        elif key in given:
            problems.append(f"{origin}: is given twice, first as {given[key][0]}")
        elif value is not None:  # a key without a value: the default
            given[key] = (origin, value)
    return given


def _nearest(word: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.replace("-", "_"), list(names), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else "; dnsd serve --help lists all"
