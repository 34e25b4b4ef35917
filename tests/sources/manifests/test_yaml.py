"""YAML is read as Kubernetes reads it; a text that exceeds a bound is an error with its line."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.sources.manifests import yaml as manifest_yaml
from dnsd.sources.manifests.yaml import Chunk, Locator, Unreadable, resolve


def read(text: str) -> list[Any]:
    chunks = manifest_yaml.split(text.encode())
    return [document.value for chunk in chunks for document in manifest_yaml.read(chunk)]


def refused(text: str | bytes) -> Unreadable:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(Unreadable) as caught:
        [manifest_yaml.read(chunk) for chunk in manifest_yaml.split(data)]
    return caught.value


def _no_number(text: str) -> bool:
    """Whether PyYAML, which writes `0E0` without quotes, and Kubernetes agree that it is text."""
    return isinstance(resolve(text), str)


class TestPlainScalars:
    """A plain scalar means what it means to Kubernetes."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("yes", True),
            ("On", True),
            ("FALSE", False),
            ("~", None),
            ("", None),
            ("Null", None),
            ("0777", 511),
            ("0o777", 511),
            ("0x1F", 31),
            ("0b101", 5),
            ("-12", -12),
            ("1_000", 1000),
            ("0", 0),
            ("08", 8.0),
            ("1.5", 1.5),
            ("1e3", 1000.0),
            (".inf", math.inf),
            ("-.Inf", -math.inf),
            ("80:80", "80:80"),
            ("2026-01-01", "2026-01-01"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("10.96.0.1", "10.96.0.1"),
            ("fd00::1", "fd00::1"),
            ("y", "y"),
            ("+", "+"),
            ("0x_", "0x_"),
            ("1" * 41, "1" * 41),
            ("nullable", "nullable"),
        ],
    )
    def test_words_and_numbers_of_yaml_1_1_are_values_and_all_else_is_text(
        self, text: str, value: object
    ) -> None:
        assert resolve(text) == value
        assert type(resolve(text)) is type(value)

    def test_nan_is_a_float(self) -> None:
        assert math.isnan(resolve(".NaN"))

    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet="0123456789+-._:xobeEinfNaA~", max_size=45) | st.text(max_size=10))
    def test_every_text_is_a_scalar_or_stays_as_it_is(self, text: str) -> None:
        value = resolve(text)
        assert isinstance(value, bool | int | float | str | None)
        if isinstance(value, str):
            assert value is text

    @settings(max_examples=80, deadline=None)
    @given(st.text(alphabet="0123456789+-._:xobeEayntrufls~ ", max_size=12))
    def test_text_that_pyyaml_wrote_is_read_back(self, text: str) -> None:
        dumped = yaml.dump({"k": text}, Dumper=yaml.CSafeDumper)
        value = read(dumped)[0]["k"]
        assert value == text or yaml.safe_load(dumped)["k"] == value or isinstance(value, float)


class TestQuotesAndTags:
    def test_a_quoted_scalar_is_text(self) -> None:
        assert read("a: '80'\nb: \"yes\"\nc: !!str 80\nd: ! 80") == [
            {"a": "80", "b": "yes", "c": "80", "d": "80"}
        ]

    def test_a_core_tag_sets_the_type(self) -> None:
        assert read("a: !!int '80'\nb: !!map {}\nc: !!seq []") == [{"a": 80, "b": {}, "c": []}]

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("a: !GetAtt b", "!GetAtt"),
            ("a: !Ref [b]", "!Ref"),
            ("a: !!int b", "tag:yaml.org,2002:int"),
            ("a: !!seq {}", "tag:yaml.org,2002:seq"),
        ],
    )
    def test_a_tag_that_is_unknown_or_does_not_fit_is_refused(self, text: str, named: str) -> None:
        error = refused(text)
        assert named in error.problem
        assert (error.line, error.column) == (1, 4)


class TestStructure:
    def test_each_document_has_its_first_line_and_empty_ones_are_left_out(self) -> None:
        text = "# first\n---\na: 1\n--- # two\n\n---\n---\n# nothing\n---\nb: 2\n--- {c: 3}\n"
        found = [p for c in manifest_yaml.split(text.encode()) for p in manifest_yaml.read(c)]
        assert found == [(3, {"a": 1}), (10, {"b": 2}), (11, {"c": 3})]

    def test_dashes_inside_a_scalar_do_not_start_a_document(self) -> None:
        assert read("a: |\n  x\n  ---\n  y\nb: 'p ---q'\n") == [{"a": "x\n---\ny\n", "b": "p ---q"}]
        assert read("---a: 1\n") == [{"---a": 1}]

    def test_document_ends_and_directives_are_accepted(self) -> None:
        text = "%YAML 1.1\n---\na: 1\n...\n---\nb: 2\n...\n"
        assert read(text) == [{"a": 1}, {"b": 2}]

    def test_windows_line_ends_and_a_byte_order_mark_are_accepted(self) -> None:
        chunks = manifest_yaml.split(b"\xef\xbb\xbfa: 1\r\n---\r\nb: |\r\n  x\r\n")
        assert [p.value for c in chunks for p in manifest_yaml.read(c)] == [{"a": 1}, {"b": "x\n"}]
        assert [chunk.line for chunk in chunks] == [1, 2]

    def test_an_alias_is_its_anchor_and_a_merge_adds_missing_keys(self) -> None:
        text = """
base: &base {a: 1, b: 2}
other: &other {b: 3, c: 4}
one: {<<: *base, b: 5}
two: {<<: [*base, *other]}
three: {"<<": x}
list: [*base, *base]
"""
        (found,) = read(text)
        assert found["one"] == {"a": 1, "b": 5}
        assert found["two"] == {"a": 1, "b": 2, "c": 4}
        assert found["three"] == {"<<": "x"}
        assert found["list"] == [{"a": 1, "b": 2}] * 2

    def test_the_last_of_two_equal_keys_counts(self) -> None:
        assert read("a: 1\na: 2") == [{"a": 2}]

    _plain = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**40), 2**40)
        | st.text(
            alphabet=st.characters(
                min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"
            ),
            max_size=12,
        ).filter(_no_number),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.from_regex(r"[a-z][a-zA-Z./-]{0,8}", fullmatch=True), inner, max_size=4
            )
        ),
        max_leaves=15,
    )

    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(_plain.filter(lambda one: one is not None), min_size=1, max_size=3),
        st.sampled_from([None, True, False]),
        st.integers(2, 4),
    )
    def test_documents_that_pyyaml_wrote_are_read_back(
        self, documents: list[Any], flow: bool | None, indent: int
    ) -> None:
        text = yaml.dump_all(
            documents,
            Dumper=yaml.CSafeDumper,
            default_flow_style=flow,
            indent=indent,
            allow_unicode=True,
            explicit_start=True,
        )
        assert read(text) == documents

    @settings(max_examples=100, deadline=None)
    @given(
        st.dictionaries(st.text(max_size=9), st.text(max_size=20), min_size=1, max_size=3),
        st.sampled_from(["'", '"', "|", ">"]),
    )
    def test_text_in_any_style_is_text(self, value: dict[str, str], style: str) -> None:
        text = yaml.dump(value, Dumper=yaml.CSafeDumper, default_style=style)
        assert read(text) == [yaml.load(text, Loader=yaml.CBaseLoader)]

    @settings(max_examples=300, deadline=None)
    @given(
        st.one_of(
            st.binary(max_size=60),
            st.text(alphabet="ab:-#&*!|>'\"{}[],? \n\t%@`~<=1.\r\x85", max_size=40).map(str.encode),
        )
    )
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        for chunk in manifest_yaml.split(data):
            try:
                manifest_yaml.read(chunk)
            except Unreadable as error:
                problem, line = error.problem, error.line
                assert problem
                assert line >= 0


class TestErrors:
    def test_a_syntax_error_has_line_and_column(self) -> None:
        error = refused("a: 1\n---\nb: 2\nc: [1, 2\nd: 3\n")
        assert error.line == 5
        assert error.column > 0
        assert error.problem

    def test_a_tab_in_the_indentation_is_refused(self) -> None:
        error = refused("a:\n\tb: 1\n")
        assert (error.line, error.column) == (2, 1)

    def test_octets_that_are_not_utf8_are_refused(self) -> None:
        error = refused(b"a: 1\nb: \xff\n")
        assert (error.line, error.column) == (2, 4)
        assert "UTF-8" in error.problem

    def test_a_control_character_is_refused(self) -> None:
        error = refused("a: 1\nb: é\x01\n")
        assert (error.line, error.column) == (2, 5)

    @pytest.mark.parametrize("text", ["? [a]\n: b\n", "{[a]: b}", "? {a: b}\n: c\n"])
    def test_a_mapping_or_list_as_a_key_is_refused(self, text: str) -> None:
        assert "key" in refused(text).problem

    def test_an_alias_without_an_anchor_is_refused(self) -> None:
        assert "*missing" in refused("a: *missing").problem

    def test_a_merge_of_text_is_refused(self) -> None:
        assert "<<" in refused("a: {<<: b}").problem


class TestBounds:
    def test_a_text_nested_too_deeply_is_refused(self) -> None:
        assert "deeper" in refused("[" * 100_000).problem
        assert "deeper" in refused("".join(f"{' ' * i}a:\n" for i in range(2000))).problem

    def test_aliases_of_aliases_are_refused(self) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        error = refused("\n".join(lines))
        assert "aliases" in error.problem
        assert error.line <= 7

    def test_an_alias_in_its_own_anchor_is_refused(self) -> None:
        assert "own anchor" in refused("a: &a [*a]").problem
        assert "own anchor" in refused("&a {<<: *a}").problem

    def test_merges_of_merges_are_refused(self) -> None:
        lines = ["a0: &a0 {" + ", ".join(f"k{i}: v" for i in range(100)) + "}"]
        lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 50)}]}}" for i in range(1, 6)]
        assert "aliases" in refused("\n".join(lines)).problem

    def test_a_document_with_too_many_nodes_is_refused(self) -> None:
        text = "a: [" + "[]," * 1000 + "]"
        with pytest.raises(Unreadable, match="1000 nodes"):
            manifest_yaml.read(Chunk(1, text.encode()), max_nodes=1000)
        assert len(manifest_yaml.read(Chunk(1, text.encode()))[0].value["a"]) == 1000


class TestLocate:
    CHUNK = Chunk(10, b"---\nkind: Service\nspec:\n  ports:\n  - port: 80\n  - port: x\n")

    @pytest.mark.parametrize(
        ("path", "where"),
        [
            ("spec.ports[1].port", (15, 5)),
            ("spec.ports[1].name", (15, 5)),
            ("spec.ports[7]", (13, 3)),
            ("kind", (11, 1)),
            ("", (11, 1)),
            ("metadata.name", (11, 1)),
        ],
    )
    def test_the_position_of_a_field_or_of_its_nearest_ancestor(
        self, path: str, where: tuple[int, int]
    ) -> None:
        assert Locator(self.CHUNK).find(path) == where

    @pytest.mark.parametrize("text", [b"{", b"", b"\xff", b"a: 1\n---\nb: 1\n"])
    def test_a_text_without_one_document_has_no_positions(self, text: bytes) -> None:
        assert Locator(Chunk(1, text)).find("a.b") in ((0, 0), (1, 1))
