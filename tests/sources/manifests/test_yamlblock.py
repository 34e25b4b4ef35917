"""The quick reader says what the real parser says, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.sources.manifests import yaml as yamlread
from dnsd.sources.manifests import yamlblock
from dnsd.sources.manifests.yaml import Chunk, Plain, Unreadable
from dnsd.sources.manifests.yamlscalar import resolve


def both(text: str) -> tuple[tuple[int, Any] | None, list[Plain] | str]:
    """What the quick reader and the real parser make of `text`."""
    quick = yamlblock.read(text)
    try:
        return quick, yamlread.read_carefully(Chunk(1, text.encode()))
    except Unreadable as error:
        return quick, error.problem


def agree(text: str) -> bool:
    """Whether the quick reader read it; if so, as the real parser does."""
    quick, real = both(text)
    if quick is None:
        return False
    assert real == [Plain(quick[0] + 1, quick[1])]
    return True


SERVICE = """\
---
# a comment
apiVersion: v1
kind: Service
metadata:
  name: web
  labels:
    app.kubernetes.io/name: 'web'
    version: "1.10"
  annotations: {}

spec:
  clusterIP: fd00:10:96::1
  ports:
  - name: http
    port: 80
    nodePort: 0x50
  - name: dns
    protocol: UDP
    port: 53
  externalIPs: []
  selector:
status:
    list:
      - - a
        - b
      - c: yes
        d: null
      - null
"""


class TestSubset:
    def test_a_service(self) -> None:
        assert agree(SERVICE)
        assert yamlblock.read(SERVICE) == (2, yaml.safe_load(SERVICE))

    @pytest.mark.parametrize(
        "text",
        [
            "a: 1",
            "a:\n",
            "a:\n- b\n- c\nd: e\n",
            "a:\n  - b: c\n    d:\n    - e\n    f: g\n",
            "a:\n- - - b\n    - c\n  - d\n- e: f\n",
            "a:\n  b:\n    c:\n      d: e\n  f: g\nh: i\n",
            "a: 1\na: 2\n",
            "a/b.c_d-e: x:y\n",
            "---\n\n# x\n  # y\na: b\n",
            "a:\n# comment\n  b: c\n",
        ],
    )
    def test_is_read(self, text: str) -> None:
        assert agree(text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "# only a comment\n",
            "a: b c\n",
            "a: b\n  c\n",
            "a:\n  b\n",
            "a: |\n  b\n",
            "a: &x b\n",
            "a: *x\n",
            "a: !!str 1\n",
            "a: {b: c}\n",
            "a: [b]\n",
            "a: 'b''c'\n",
            'a: "b\\n"\n',
            "a: b # comment\n",
            "a: é\n",
            "a:\tb\n",
            "a: b \n",
            "yes: a\n",
            "null: a\n",
            "<<: a\n",
            "'a': b\n",
            "- a\n",
            "a\n",
            "a:b\n",
            "a: b\nc\n",
            "a:\n-\n",
            "a:\n  b: c\n d: e\n",
            "a:\n    b: c\n  d: e\n",
            "a: b\n- c\n",
            "a:\n- b\n  c: d\n",
            "a:\n- b: c\n   d: e\n",
            "  a: b\nc: d\n",
            "a: b\r\n",
            "a: b\n---\nc: d\n",
            "a: b\n...\n",
            "--- \na: b\n",
            "a: -\n",
            "a: b:\n",
        ],
    )
    def test_is_left_to_the_real_parser(self, text: str) -> None:
        assert yamlblock.read(text) is None

    def test_bounds(self) -> None:
        deep = "".join(f"{' ' * i}a:\n" for i in range(yamlblock.MAX_DEPTH + 5))
        assert yamlblock.read(deep) is None
        assert agree("a: " + "b" * 1000 + "\n")
        assert yamlblock.read("a: b\n" * (yamlblock.MAX_BYTES // 5 + 1)) is None

    def test_what_it_returns_is_nobody_elses(self) -> None:
        first, second = yamlblock.read("a: {}\nb: []\n"), yamlblock.read("a: {}\nb: []\n")
        assert first
        assert second
        first[1]["a"]["x"] = 1
        assert second[1] == {"a": {}, "b": []}


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 10**6),
    # What only Kubernetes takes for a number (`0E0`), PyYAML writes without quotes.
    st.from_regex(r"[a-zA-Z0-9_./:-]{0,10}", fullmatch=True).filter(
        lambda text: isinstance(resolve(text), str)
    ),
    st.text(max_size=6).filter(lambda text: isinstance(resolve(text), str)),
)
_keys = st.from_regex(r"[a-zA-Z0-9_./-]{1,8}", fullmatch=True)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(_keys, _values, min_size=1, max_size=4), st.integers(2, 4))
def test_what_tools_write_is_read_the_same(value: dict[str, Any], indent: int) -> None:
    text = yaml.dump(value, Dumper=yaml.CSafeDumper, indent=indent, default_flow_style=False)
    if agree(text):
        assert yamlblock.read(text) == (0, value)


# Lines put together at random: most are no YAML, many are almost.
_BODIES = """
a:|b:|a: 1|b: x|c: 'q'|d: "q r"|x|5|{}|e: {}|f: []|# c||a:b|a: b:c|yes|no: 1|-|a: -|-1|? a|: b
|---|a: #b|...|'q'|a: 'b' |a : b|_: ~|a: =|=|a: 0x|a: .5|1: 2|a: \t|<<: a|a: ''|b: "#"|a:  b
"""
_lines = st.builds(
    lambda indent, dashes, body: " " * indent + "- " * dashes + body,
    st.integers(0, 5),
    st.integers(0, 2),
    st.sampled_from(_BODIES.replace("\n", "").split("|")),
)


@settings(max_examples=600, deadline=None)
@given(st.lists(_lines, min_size=1, max_size=7))
def test_it_agrees_with_the_real_parser_or_is_silent(lines: list[str]) -> None:
    agree("\n".join(lines) + "\n")
    agree("\n".join(lines))
