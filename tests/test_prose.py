"""The prose of the project: what each module says first, and words that the project avoids.

In `tests/` (rules of the whole tree). Change here: the words that prose avoids.

`docs/glossary.md` gives the words that the project uses instead.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dnsd"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each is hard to read for a person who learned English later, or at 3 a.m.
AVOIDED = {
    "a pronoun in the place of an actor": r"\b(nobody|somebody|whoever|whomever|whichever)\b",
    "a clause with who in the place of a noun": (
        r"(^|[.;:] )Who (asks|wants|looks|knows|reads|has|is)\b"
    ),
    "is no X": (
        r"(?<![Tt]here )\b(is|are|was|were) no "
        r"(?!longer|more|later|less|such|fewer|greater|good|need|use)[a-z]+"
    ),
    "there is none": r"\bthere (is|are|was|were) none\b",
    "a figure of speech": (
        r"\b(the house|front desk|seen from the|for ever|goes astray|out of the way)\b"
    ),
}


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """The comments and strings of a module, each with its line; code is not prose."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], " ".join(token.string.split())


def documents() -> list[Path]:
    """The files that people read: Markdown, the page, the chart, the API's description."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    kinds = (".md", ".js", ".html", ".yaml", ".tpl", "NOTES.txt", ".css")
    return [
        ROOT / one
        for one in listed
        if one.endswith(kinds)
        and one != "CHANGELOG.md"
        and not one.startswith(("tests/", "docs/images/"))
    ]


def found_in(text: str) -> list[str]:
    """Which avoided words a text has, each with what stands around it."""
    return [
        f"{what}: …{text[max(0, hit.start() - 30) : hit.end() + 30]}…"
        for what, pattern in AVOIDED.items()
        for hit in re.finditer(pattern, text, re.IGNORECASE if "actor" in what else 0)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_does_where_it_is_and_what_to_change_in_it(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, "the module has no docstring"
    lines = docstring.splitlines()
    folder = path.parent.relative_to(PACKAGE)
    place = f"{folder}/" if folder.name else "dnsd/"
    assert len(lines) >= 3, "the third line says where the module is and what to change in it"
    assert not lines[1]
    assert lines[2].startswith(f"In `{place}`"), f"the third line begins with: In `{place}`"
    assert "Change here:" in " ".join(lines[2:6])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_comments_and_texts_of_a_module_name_their_actors(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    problems = [f"{line}: {one}" for line, text in prose_of(source) for one in found_in(text)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_its_actors(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    problems = [
        f"{number}: {one}"
        for number, line in enumerate(text.splitlines(), 1)
        for one in found_in(line)
    ]
    assert not problems, "\n".join(problems)
