"""A parser for the part of PromQL that the chart uses.

`parse` rejects the rest of the language, so that no metric is overlooked: a word that is not a
function, a keyword, or a label is a metric. A test compares its result with the exported names:

* each metric, with its matchers, and with the labels that each aggregation around it keeps;
* the labels of the result, if the expression defines them.

An aggregation has its labels in front, `sum by (a) (...)`, or no labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

AGGREGATIONS = {"sum", "min", "max", "count", "avg"}
FUNCTIONS = {"rate", "increase", "absent", "histogram_quantile", "vector", "time"}
OPERATORS = {"and", "or", "unless"}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<symbol>=~|!~|!=|==|>=|<=|[-+*/<>=(){},])
    )""",
    re.VERBOSE,
)


class UnsupportedExpression(ValueError):
    """An error in the expression, or a part of PromQL that `parse` does not support."""


class Matcher(Struct, frozen=True):
    """`label op "value"`, without the quotes."""

    label: str
    op: str
    value: str


class Metric(Struct, frozen=True):
    """A use of a metric; `inside`: the functions around it, the outermost first.

    `kept`: the labels that each aggregation around it keeps.
    """

    name: str
    matchers: tuple[Matcher, ...]
    inside: tuple[str, ...]
    kept: tuple[tuple[str, ...], ...]
    ranged: bool


class Expression(Struct, frozen=True):
    """`labels`: those of the result, or None if the result has the labels of the metrics."""

    metrics: tuple[Metric, ...]
    labels: tuple[str, ...] | None


def parse(text: str) -> Expression:
    """The metrics and labels of an expression. Raises UnsupportedExpression."""
    reader = _Reader(tuple(_tokens(text)), text)
    reader.expression(inside=(), kept=())
    if reader.peek():
        raise UnsupportedExpression(f"{text}: {reader.peek()!r} after the end of the expression")
    outermost = [one.kept[0] if one.kept else None for one in reader.metrics]
    kept = [one for one in outermost if one is not None]
    labels = tuple(label for label in kept[0] if _survives(label, reader.metrics)) if kept else None
    return Expression(tuple(reader.metrics), labels if len(kept) == len(outermost) else None)


def _survives(label: str, metrics: list[Metric]) -> bool:
    """histogram_quantile removes the label `le`."""
    return label != "le" or not any("histogram_quantile" in one.inside for one in metrics)


def _tokens(text: str) -> Iterator[str]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if not found:
            raise UnsupportedExpression(f"{text}: cannot be read from {text[place:]!r}")
        yield found.group(found.lastgroup or 0)
        place = found.end()


class _Reader:
    """Reads tokens by recursive descent; `metrics` are those read so far."""

    def __init__(self, tokens: tuple[str, ...], text: str) -> None:
        self._tokens, self._text, self._at = tokens, text, 0
        self.metrics: list[Metric] = []

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if not token or (wanted and token not in wanted):
            raise UnsupportedExpression(
                f"{self._text}: {token!r} instead of {wanted or 'an operand'}"
            )
        self._at += 1
        return token

    def expression(self, inside: tuple[str, ...], kept: tuple[tuple[str, ...], ...]) -> None:
        self._operand(inside, kept)
        while self.peek() in {"+", "-", "*", "/", "==", "!=", ">", "<", ">=", "<=", *OPERATORS}:
            self.take()
            self._operand(inside, kept)

    def _operand(self, inside: tuple[str, ...], kept: tuple[tuple[str, ...], ...]) -> None:
        token = self.take()
        if token == "(":
            self.expression(inside, kept)
            self.take(")")
        elif token in AGGREGATIONS:
            labels = self._by() if self.peek() == "by" else ()
            self._arguments((*inside, token), (*kept, labels))
        elif token in FUNCTIONS:
            self._arguments((*inside, token), kept)
        elif re.fullmatch(r"[a-z_][a-z0-9_]*", token) and token not in OPERATORS:
            matchers = tuple(self._matchers()) if self.peek() == "{" else ()
            ranged = self.peek().startswith("[")
            if ranged:
                self.take()
            self.metrics.append(Metric(token, matchers, inside, kept, ranged))
        elif not token[0].isdigit():
            raise UnsupportedExpression(f"{self._text}: {token!r} is not an operand")

    def _arguments(self, inside: tuple[str, ...], kept: tuple[tuple[str, ...], ...]) -> None:
        self.take("(")
        while self.peek() != ")":
            self.expression(inside, kept)
            if self.peek() != ")":
                self.take(",")
        self.take(")")

    def _by(self) -> tuple[str, ...]:
        self.take("by")
        self.take("(")
        labels = [self.take()]
        while self.take(",", ")") == ",":
            labels.append(self.take())
        return tuple(labels)

    def _matchers(self) -> Iterator[Matcher]:
        self.take("{")
        while True:
            label, op, value = self.take(), self.take("=", "=~", "!=", "!~"), self.take()
            if value[0] != '"':
                raise UnsupportedExpression(f"{self._text}: {value!r} is not a string")
            yield Matcher(label, op, value[1:-1])
            if self.take(",", "}") == "}":
                return
