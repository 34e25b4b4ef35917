"""Settings from flags, environment variables and a YAML file.

A flag beats a variable beats the file, setting by setting; a list is replaced, not added
to. Everything that is wrong is collected and raised as one `SettingsError`, each problem
naming who said it and what, so that one run tells all.

What no setting is called is a mistake and is refused with the nearest name that exists: a
typing error that goes unnoticed is worse than a start that fails.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from dnsd.settings.kinds import BadValue, quoted
from dnsd.settings.schema import PREFIX, Settings, SettingsError, declared, flag_of, variable_of

# Variables of that prefix which are no settings: read by the tests, read by the commands that
# ask a running dnsd (dnsd.commands.remote), and the ones that Kubernetes puts into every
# container for a Service called dnsd or dnsd-anything
# (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
OTHER_VARIABLES = frozenset({"DNSD_CI", "DNSD_SERVER", "DNSD_TOKEN", "DNSD_TOKEN_FILE"})
_SERVICE_LINK = re.compile(
    r"DNSD_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
MAX_FILE = 1 << 20  # bytes of a configuration file

# What one source says: setting name -> (who says it, the value as it came).
Said = dict[str, tuple[str, object]]


def load(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """The settings that flags, environment and the file they name add up to.

    `flags`: setting name -> text, list of texts or bool as the command line gave them;
    what was not given is absent. `environ`: all variables, foreign ones included.
    Raises SettingsError with every problem found.
    """
    problems: list[str] = []
    said = _from_environ(environ, problems)
    said.update({name: (flag_of(name), value) for name, value in flags.items()})
    if "config" in said:
        path = _parse(said, "config", problems)
        from_file = read_file(path, problems) if path else {}
        said = {**from_file, **said}
    values = {name: _parse(said, name, problems) for name in said}
    if problems:
        raise SettingsError(*dict.fromkeys(problems))
    return Settings(**values, origins={name: who for name, (who, _) in said.items()})


def _parse(said: Said, name: str, problems: list[str]) -> Any:
    who, value = said[name]
    try:
        return declared()[name].kind.parse(value)
    except BadValue as error:
        problems.append(f"{who}: {error}")
        return None


def _from_environ(environ: Mapping[str, str], problems: list[str]) -> Said:
    known = {variable_of(name): name for name in declared()}
    said: Said = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or not environ[variable]:
            continue  # set to nothing: not set
        if variable in known:
            said[known[variable]] = (variable, environ[variable])
        elif variable not in OTHER_VARIABLES and not _SERVICE_LINK.fullmatch(variable):
            problems.append(f"{variable}: no such setting{_nearest(variable, known)}")
    return said


def read_file(path: str, problems: list[str]) -> Said:
    """What a configuration file says; appends to `problems` what is wrong with it."""
    import yaml  # 20 ms that a start without a file does not pay

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(_content(path))
        root = loader.get_single_node()
        pairs = [] if root is None else _pairs(path, root)
        entries = [
            (key.value, key.start_mark.line + 1, loader.construct_object(node, deep=True))
            for key, node in pairs
        ]
    except SettingsError as error:
        problems.extend(error.problems)
        return {}
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problems.append(f"{path}{_yaml_place(error)}")
        return {}
    return _from_entries(path, entries, problems)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise SettingsError(f"{path}: is over {MAX_FILE} bytes, too large for a configuration")
    return content


def _pairs(path: str, root: Any) -> list[tuple[Any, Any]]:
    if root.id != "mapping":
        raise SettingsError(
            f"{path}:{root.start_mark.line + 1}: is no mapping of settings, like ttl: 5"
        )
    for key, _ in root.value:
        if key.id != "scalar":
            raise SettingsError(f"{path}:{key.start_mark.line + 1}: a key must be a word")
    return list(root.value)


def _yaml_place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error) or "is nested too deeply"
    problem = str(problem).splitlines()[0][:200]
    place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    return f"{place}: is not valid YAML: {problem}"


def _from_entries(
    path: str, entries: Iterable[tuple[str, int, object]], problems: list[str]
) -> Said:
    known = {name: setting for name, setting in declared().items() if setting.in_file}
    said: Said = {}
    for key, line, value in entries:
        place = f"{path}:{line}"
        if key not in known:
            word = quoted(key)
            problems.append(f"{place}: {word}: no such setting{_nearest(key, known)}")
        elif key in said:
            problems.append(f"{place}: {key}: is given twice, first as {said[key][0]}")
        elif value is not None:  # `key:` with nothing behind it: the default
            said[key] = (f"{place}: {key}", value)
    return said


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.replace("-", "_"), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else "; dnsd serve --help shows all"
