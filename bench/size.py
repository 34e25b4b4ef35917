"""`python -m bench.size`: the size of the code by package, and the imports between its modules.

In `bench/` (measurements). Change here: what counts as a source line, and the figures.

A source line (SLOC) is a line with at least one Python token that is not a comment or a part of a
docstring. Blank lines do not count. The order of the layers is that of `.importlinter`. An import
is upward if it leads to another package of the same layer or of a higher one.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
Imports = Mapping[str, set[str]]  # module -> the modules that it imports
_SKIPPED = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def sloc(source: str) -> int:
    """The number of source lines in the text of a module."""
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _SKIPPED:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def modules(root: Path, package: str) -> dict[str, Path]:
    """Each module of a package below `root`: dotted name -> file, in order."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """The modules of `files` that each of them imports, also in functions and for types."""
    return {
        name: {
            module
            for one in _named(ast.parse(path.read_text(encoding="utf-8")))
            if (module := _module(one, files)) and module != name
        }
        for name, path in files.items()
    }


def _named(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module(name: str, files: Mapping[str, Path]) -> str:
    """`from a.b import c` names a module `a.b.c`, or an object of `a.b`."""
    return name if name in files else parent if (parent := name.rpartition(".")[0]) in files else ""


def layers(root: Path) -> list[set[str]]:
    """The layers of `.importlinter`, the highest first; each is a set of packages."""
    parser = ConfigParser()
    parser.read(root / ".importlinter", encoding="utf-8")
    lines = parser["importlinter:contract:layers"]["layers"].split("\n")
    return [{one.strip() for one in line.split("|")} for line in lines if line]


def upward(found: Imports, order: list[set[str]]) -> list[tuple[str, str]]:
    """The imports between packages that do not lead to a lower layer."""
    rank = {package: depth for depth, layer in enumerate(order) for package in layer}

    def of(module: str) -> str:
        return module.split(".")[1] if "." in module else ""

    return [
        (module, imported)
        for module, names in found.items()
        for imported in sorted(names)
        if of(module) != of(imported) and {of(module), of(imported)} <= rank.keys()
        if rank[of(module)] >= rank[of(imported)]
    ]


def cycles(found: Imports) -> list[list[str]]:
    """Cycles of imports: each list of modules begins and ends with the same one."""
    left = {name: set(names) for name, names in found.items()}
    cycles = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            cycle = error.args[1][::-1]
            cycles.append(cycle)
            left[cycle[0]].discard(cycle[1])  # continue without this import
        else:
            return cycles


def main() -> int:
    """Print the table and the figures."""
    files = modules(ROOT, "dnsd")
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for name, path in files.items():
        parts, source = path.relative_to(ROOT).parts, path.read_text(encoding="utf-8")
        package = parts[1] if len(parts) > 2 else "(top level)"
        counts[package] += sloc(source)
        numbers[package] += 1
        sizes[name] = source.count("\n")
    total, found, order = counts.total(), imports(files), layers(ROOT)
    print(f"{'package':<14}{'files':>6}{'SLOC':>8}{'share':>8}")
    for package, count in counts.most_common():
        print(f"{package:<14}{numbers[package]:>6}{count:>8}{count / total:>8.1%}")
    print(f"{'all':<14}{numbers.total():>6}{total:>8}")
    (largest, size), (longest, lines) = counts.most_common(1)[0], sizes.most_common(1)[0]
    print(f"\nlines: {sizes.total()}; longest module: {longest}, {lines} lines")
    print(f"packages: {len(counts) - 1}; largest: {largest}, {size / total:.1%}")
    print(f"layers: {len(order)}")
    for title, rows in (("upward imports", upward(found, order)), ("cycles", cycles(found))):
        print(f"{title}: {len(rows)}", *(" -> ".join(row) for row in rows), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
