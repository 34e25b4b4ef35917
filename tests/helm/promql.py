"""Just enough of PromQL to say what an expression asks for.

`parse` reads the part of the language that the chart uses, and refuses the rest, so that
nothing is overlooked: a word that is neither function, keyword nor label is a metric. What
it returns is what a test can hold to the exported names:

* every metric, with its matchers, and with the labels that each aggregation around it keeps;
* the labels that the result has, as far as the expression says so.

An aggregation writes its labels in front, `sum by (a) (...)`, or has none.
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


class NotUnderstood(ValueError):
    """What `parse` does not read: an error in the expression, or more of PromQL than it knows."""


class Matcher(Struct, frozen=True):
    """`label op "value"`, without the quotes."""

    label: str
    op: str
    value: str


class Metric(Struct, frozen=True):
    """A metric where it is used; `inside` are the functions around it, outermost first.

    `kept` are the labels that the aggregations around it keep, of each.
    """

    name: str
    matchers: tuple[Matcher, ...]
    inside: tuple[str, ...]
    kept: tuple[tuple[str, ...], ...]
    ranged: bool


class Expression(Struct, frozen=True):
    """`labels`: those of the result, None when they are the metrics' own."""

    metrics: tuple[Metric, ...]
    labels: tuple[str, ...] | None


def parse(text: str) -> Expression:
    """What `text` asks for. Raises NotUnderstood."""
    reader = _Reader(tuple(_tokens(text)), text)
    reader.expression(inside=(), kept=())
    if reader.peek():
        raise NotUnderstood(f"{text}: {reader.peek()!r} is one too many")
    outermost = [one.kept[0] if one.kept else None for one in reader.metrics]
    kept = [one for one in outermost if one is not None]
    labels = tuple(label for label in kept[0] if _survives(label, reader.metrics)) if kept else None
    return Expression(tuple(reader.metrics), labels if len(kept) == len(outermost) else None)


def _survives(label: str, metrics: list[Metric]) -> bool:
    """`le` is what histogram_quantile takes away."""
    return label != "le" or not any("histogram_quantile" in one.inside for one in metrics)


def _tokens(text: str) -> Iterator[str]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if not found:
            raise NotUnderstood(f"{text}: cannot be read from {text[place:]!r}")
        yield found.group(found.lastgroup or 0)
        place = found.end()


class _Reader:
    """Reads tokens by recursive descent; `metrics` is what it came across."""

    def __init__(self, tokens: tuple[str, ...], text: str) -> None:
        self._tokens, self._text, self._at = tokens, text, 0
        self.metrics: list[Metric] = []

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if not token or (wanted and token not in wanted):
            raise NotUnderstood(f"{self._text}: {token!r} where {wanted or 'more'} is due")
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
            raise NotUnderstood(f"{self._text}: {token!r} is no operand")

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
                raise NotUnderstood(f"{self._text}: {value!r} is no string")
            yield Matcher(label, op, value[1:-1])
            if self.take(",", "}") == "}":
                return
