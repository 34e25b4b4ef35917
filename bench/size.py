"""`python -m bench.size`: how large the code is, by package, and how its modules import each other.

Lives in `bench/` (measurements). Change here: what counts as a source line, and the figures.

A source line (SLOC) is a line with at least one Python token that is not a comment or a part
of a docstring. Blank lines do not count.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
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


def modules(package: Path) -> Iterator[Path]:
    """The Python files below a directory, in order."""
    return (path for path in sorted(package.rglob("*.py")))


def main() -> int:
    """Print the table."""
    counts: Counter[str] = Counter()
    files: Counter[str] = Counter()
    longest = (0, "")
    total = 0
    for path in modules(ROOT / "dnsd"):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT / "dnsd").parts
        package = name[0] if len(name) > 1 else "(top level)"
        counts[package] += sloc(source)
        files[package] += 1
        lines = source.count("\n")
        total += lines
        longest = max(longest, (lines, str(path.relative_to(ROOT))))
    whole = sum(counts.values())
    print(f"{'package':<14}{'files':>6}{'SLOC':>8}{'share':>8}")
    for package, count in counts.most_common():
        print(f"{package:<14}{files[package]:>6}{count:>8}{count / whole:>8.1%}")
    print(f"{'all':<14}{sum(files.values()):>6}{whole:>8}")
    print(f"lines in all: {total}; longest module: {longest[1]}, {longest[0]} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
