"""One file: its objects, their problems, and what stays when it breaks."""

from __future__ import annotations

import json
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import EndpointSlice, Key, Service
from dnsd.dns.addresses import pack_address
from dnsd.sources.manifests import file as manifestfile
from dnsd.sources.manifests.file import ManifestFile
from tests.helpers import counted


def service(name: str, ip: str = "", **meta: str) -> dict[str, object]:
    spec = {"ports": [{"port": 80}]} | ({"clusterIP": ip} if ip else {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, **meta}, "spec": spec}


def parse(text: str, path: str = "x.yaml", previous: ManifestFile | None = None) -> ManifestFile:
    return manifestfile.parse(path, text.encode(), previous)


def names(file: ManifestFile) -> list[str]:
    return [entry.object.name for entry in file.manifests]


A = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n"
B = "apiVersion: v1\nkind: Service\nmetadata:\n  name: b\n"
BAD = "apiVersion: v1\nkind: Service\nmetadata:\n  name: b\nspec:\n  ports:\n  - port: 99999\n"


class TestObjects:
    def test_the_origin_of_an_object_is_its_document(self) -> None:
        file = parse(f"# comment\n---\n{A}---\n---\n{B}")
        assert [(e.object.origin, e.document, e.line) for e in file.manifests] == [
            ("x.yaml#1", 1, 3),
            ("x.yaml#2", 2, 9),
        ]
        assert file.documents == 2
        assert file.problems == ()

    def test_without_a_namespace_it_is_default(self) -> None:
        (entry,) = parse(A).manifests
        assert entry.object.key == Key("Service", "default", "a")

    def test_other_kinds_are_counted_and_skipped(self) -> None:
        knative = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: k}\n"
        deploy = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
        file = parse("---\n".join([A, knative, deploy, deploy]))
        assert names(file) == ["a"]
        assert file.skipped == {"Service.serving.knative.dev": 1, "Deployment": 2}
        assert file.problems == ()

    def test_a_missing_api_version_is_accepted(self) -> None:
        assert names(parse("kind: Service\nmetadata: {name: a}")) == ["a"]

    @pytest.mark.parametrize("path", ["x.yaml", "x.json"])
    @pytest.mark.parametrize(("kind", "inner"), [("List", True), ("ServiceList", False)])
    def test_the_items_of_a_list_are_objects(self, path: str, kind: str, inner: bool) -> None:
        items = [service("a"), service("b")]
        if not inner:
            for item in items:
                del item["kind"]
        file = parse(json.dumps({"apiVersion": "v1", "kind": kind, "items": items}), path)
        assert [e.object.origin for e in file.manifests] == [f"{path}#1[0]", f"{path}#1[1]"]
        assert file.problems == ()

    def test_one_bad_item_of_a_list_does_not_affect_the_others(self) -> None:
        text = "kind: List\nitems:\n- kind: Service\n  metadata: {name: a}\n- kind: Service\n"
        file = parse(text + "  metadata:\n    name: B_\n")
        assert names(file) == ["a"]
        (problem,) = file.problems
        assert (problem.line, problem.field) == (7, "items[1].metadata.name")

    @pytest.mark.parametrize("path", ["x.yaml", "x.json"])
    @pytest.mark.parametrize("item", ["null", "7", '"a"', "[]"])
    def test_an_item_that_is_not_an_object_is_a_problem(self, path: str, item: str) -> None:
        good = json.dumps(service("a"))
        file = parse(
            f'{{"apiVersion": "v1", "kind": "ServiceList", "items": [{item}, {good}]}}', path
        )
        assert names(file) == ["a"]
        (problem,) = file.problems
        assert problem.field == "items[0].kind"
        assert "not an object" in problem.text

    def test_an_empty_list_has_no_objects(self) -> None:
        file = parse('{"apiVersion": "v1", "kind": "List", "items": []}', "x.json")
        assert (file.manifests, file.problems) == ((), ())

    def test_lists_nested_too_deeply_are_refused(self) -> None:
        value: dict[str, object] = service("a")
        for _ in range(3):
            value = {"kind": "List", "items": [value]}
        assert names(parse(json.dumps(value))) == ["a"]
        for _ in range(3):
            value = {"kind": "List", "items": [value]}
        file = parse(json.dumps(value), "x.json")
        assert names(file) == []
        assert "lists" in file.problems[0].text

    def test_items_that_are_not_a_list_are_a_problem(self) -> None:
        for path in ("x.yaml", "x.json"):
            (problem,) = parse('{"kind": "List", "items": 5}', path).problems
            assert (problem.field, problem.text) == ("items", "is not a list")

    def test_endpoints_become_slices(self) -> None:
        text = "kind: Endpoints\nmetadata: {name: a}\nsubsets:\n- addresses: [{ip: 10.0.0.1}]\n"
        (entry,) = parse(text).manifests
        assert isinstance(entry.object, EndpointSlice)
        assert entry.object.service == "a"

    def test_an_empty_file_has_no_documents(self) -> None:
        for path, text in (("x.yaml", ""), ("x.yaml", "# only\n---\n"), ("x.json", " \n")):
            file = parse(text, path)
            assert (file.manifests, file.problems, file.documents) == ((), (), 0)


class TestJSON:
    def test_several_json_texts_after_each_other_are_documents(self) -> None:
        text = json.dumps(service("a"), indent=1) + "\n" + json.dumps(service("b"))
        file = parse(text, "x.json")
        assert [(e.object.origin, e.line) for e in file.manifests] == [
            ("x.json#1", 1),
            ("x.json#2", text[: text.rindex('{"api')].count("\n") + 1),
        ]

    def test_json_in_a_yaml_file_is_accepted(self) -> None:
        assert names(parse(json.dumps(service("a")))) == ["a"]
        assert names(parse("{kind: Service, metadata: {name: a}}")) == ["a"]

    def test_the_problem_of_broken_json_has_line_and_column(self) -> None:
        (problem,) = parse('{\n  "kind": "Service",\n  oops\n}', "x.json").problems
        assert (problem.line, problem.column) == (3, 3)

    def test_json_nested_too_deeply_is_refused(self) -> None:
        file = parse("[" * 200_000, "x.json")
        assert not file.good
        assert parse('{"kind":' + "[" * 200_000, "x.yaml").problems

    @pytest.mark.parametrize("path", ["x.json", "x.yaml"])
    @pytest.mark.parametrize(
        "around",
        [
            '{"kind": "Service", "metadata": {"name": "a"}, "x": %s}',
            '{"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": 5}, "x": %s}',
            '{"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": %s}}',
            '{"kind": "List", "items": [{"kind": "Service", "metadata": {"name": "a"}, "x": %s}]}',
            '{"kind": "List", "items": %s}',
            '{"kind": %s}',
        ],
    )
    def test_json_near_the_limit_of_depth_is_read_or_refused(self, path: str, around: str) -> None:
        def refused(depth: int) -> bool:
            file = parse(around % ("[" * depth + "]" * depth), path)
            assert file.good or "nested" in file.problems[0].text
            return not file.good

        # Where the decoders stop depends on the version of Python and on the depth of the caller.
        first = bisect_left(range(100_000), True, lo=1, key=refused)
        assert 900 < first < 100_000
        for depth in range(first - 10, first + 10):
            refused(depth)

    @pytest.mark.parametrize("path", ["x.json", "x.yaml"])
    def test_a_number_of_5000_digits_is_a_problem_of_its_field(self, path: str) -> None:
        bad = '{"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": %s}]}}'
        (problem,) = parse(bad % ("9" * 5000), path).problems
        assert problem.field == "spec.ports[0].port"

    def test_the_problem_of_a_wrong_type_names_the_object(self) -> None:
        bad = service("a") | {"spec": {"ports": [{"port": "80"}]}}
        (problem,) = parse(json.dumps(bad, indent=1), "x.json").problems
        assert (problem.object, problem.field) == ("Service default/a", "spec.ports[0].port")
        assert problem.line > 1


class TestProblems:
    def test_one_bad_object_does_not_lose_the_others(self) -> None:
        file = parse(f"{A}---\n{BAD}")
        assert names(file) == ["a"]
        (problem,) = file.problems
        assert problem.file == "x.yaml"
        assert (problem.line, problem.column, problem.document) == (12, 5, 2)
        assert problem.object == "Service default/b"
        assert problem.field == "spec.ports[0].port"
        assert "99999" in problem.text
        assert str(problem).startswith("x.yaml:12:5: Service default/b: spec.ports[0].port: ")

    def test_the_last_good_version_of_a_bad_object_stays(self) -> None:
        first = parse(f"{A}---\n{B}")
        second = parse(f"{A}---\n{BAD}", previous=first)
        assert names(second) == ["a", "b"]
        third = parse(f"{BAD}---\n{A}---\n{A.replace(': a', ': c')}", previous=second)
        assert sorted(names(third)) == ["a", "b", "c"]
        assert names(parse(A, previous=third)) == ["a"]

    def test_the_last_good_slices_of_bad_endpoints_stay(self) -> None:
        text = "kind: Endpoints\nmetadata: {name: a}\nsubsets:\n- addresses: [{ip: 10.0.0.1}]\n"
        first = parse(text)
        second = parse(text.replace("10.0.0.1", "ten"), previous=first)
        assert names(second) == ["endpoints/a/0"]
        assert len(second.problems) == 1

    def test_broken_text_keeps_all_objects(self) -> None:
        first = parse(f"{A}---\n{B}")
        broken = parse(f"{A}---\nkind: [\n", previous=first)
        assert not broken.good
        assert names(broken) == ["a", "b"]
        (problem,) = broken.problems
        assert problem.line == 7
        again = parse("kind: }", previous=broken)
        assert names(again) == ["a", "b"]
        assert parse(f"{A}---\n{B}", previous=again) == first

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("metadata: {name: a}", "is missing"),
            ("kind: 5", "is not text"),
            ("- a\n- b", "not an object"),
            ("just text", "not an object"),
            ('[{"kind": "Service"}]', "not an object"),
        ],
    )
    def test_a_document_that_is_not_an_object_is_a_problem(self, text: str, word: str) -> None:
        (problem,) = parse(text).problems
        assert word in problem.text
        if text.startswith("["):
            (problem,) = parse(text, "x.json").problems
            assert word in problem.text

    @pytest.mark.parametrize(
        ("yaml", "field", "text"),
        [
            ("1: x", "", "the key 1 is not text; put it in quotes"),
            ("spec: {ports: [{on: 80}]}", "spec.ports[0]", "the key true is not text; put it in"),
            ("spec: {null: 80}", "spec", "the key null is not text; put it in quotes"),
        ],
    )
    def test_a_key_that_is_not_text_is_a_problem(self, yaml: str, field: str, text: str) -> None:
        (problem,) = parse(f"{A}{yaml}\n").problems
        assert (problem.object, problem.field) == ("Service default/a", field)
        assert problem.text.startswith(text)

    @pytest.mark.parametrize(
        ("labels", "field", "text"),
        [
            ("{8080: x}", "metadata.labels", "the key 8080 is not text"),
            ("{a: x, b: yes}", "metadata.labels[b]", "Expected `str`, got `bool`"),
        ],
    )
    def test_labels_that_are_not_text_are_a_problem(
        self, labels: str, field: str, text: str
    ) -> None:
        (problem,) = parse(f"{A}  labels: {labels}\n").problems
        assert (problem.line, problem.field) == (5, field)
        assert problem.text.startswith(text)

    def test_a_name_of_64_characters_is_a_problem(self) -> None:
        (problem,) = parse(A.replace(": a", ": " + "a" * 64)).problems
        assert "64" in problem.text
        assert "63" in problem.text


class TestManyProblems:
    BAD_ITEM = "- kind: Service\n  metadata: {name: B_}\n"

    def test_a_hundred_problems_are_listed_and_the_others_counted(self) -> None:
        file = parse("kind: List\nitems:\n" + self.BAD_ITEM * 250)
        assert len(file.problems) == 101
        assert file.problems[99].field == "items[99].metadata.name"
        assert file.problems[99].line == 2 + 2 * 100
        assert str(file.problems[100]) == "x.yaml:204:14: 150 more problems from here on"
        assert sorted(file.problems) == list(file.problems)

    def test_the_count_includes_all_documents(self) -> None:
        documents = [BAD] * 60 + ["kind: List\nitems:\n" + self.BAD_ITEM * 150] + [BAD] * 10
        file = parse("---\n".join(documents))
        assert len(file.problems) == 101
        assert file.problems[100].text == "120 more problems from here on"
        again = parse("---\n".join([A, *documents]), previous=file)
        assert again.problems == parse("---\n".join([A, *documents])).problems
        assert parse("---\n".join(documents[:61])).problems[100].text.startswith("110 more")

    @pytest.mark.parametrize("count", [100, 101])
    def test_up_to_a_hundred_problems_are_listed_without_a_count(self, count: int) -> None:
        file = parse("---\n".join([BAD] * count))
        assert len(file.problems) == count
        assert file.problems[-1].text.startswith("1 more problem " if count > 100 else "99999")

    @pytest.mark.parametrize("count", [0, 1, 10, 250])
    def test_the_text_is_parsed_once_more_for_all_positions(self, count: int) -> None:
        good = self.BAD_ITEM.replace("B_", "b")
        with counted() as calls:
            file = parse("kind: List\nitems:\n" + self.BAD_ITEM * count + good * 3)
        assert len(file.problems) == min(count, 101)
        assert calls["compose"] == (count > 0)


class TestReuse:
    def test_an_unchanged_document_is_not_parsed_again(self) -> None:
        first = parse(f"{A}---\n{B}")
        second = parse(f"{A}---\n{B}  namespace: other\n", previous=first)
        assert second.manifests[0] is first.manifests[0]
        assert second.manifests[1].object.namespace == "other"

    def test_a_moved_document_has_its_new_position(self) -> None:
        first = parse(f"---\n{A}---\n{BAD}---\n{B.replace(': b', ': c')}")
        moved = f"---\n{B.replace(': b', ': z')}---\n{A}---\n{BAD}---\n{B.replace(': b', ': c')}"
        assert parse(moved, previous=first) == parse(moved)
        shifted = f"# one line more\n---\n{A}---\n{BAD}---\n{B.replace(': b', ': c')}"
        assert parse(shifted, previous=first) == parse(shifted)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([A, B, BAD, "x: [", "\xff", "kind: List\nitems: [1]\n", "{", ""])),
    st.sampled_from(["x.yaml", "x.json"]),
    st.binary(max_size=20),
)
def test_parse_never_raises(documents: list[str], path: str, tail: bytes) -> None:
    data = "---\n".join(documents).encode() + tail
    file = manifestfile.parse(path, data)
    assert file.good or file.problems
    again = manifestfile.parse(path, data, file)
    assert again.manifests == file.manifests


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.text(alphabet="abZ1-.: #é", max_size=5)
    | st.floats(-1e3, 1e3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "metadata", "name", "items", "spec", "ports", "apiVersion"]),
            inner | st.sampled_from(["Service", "List", "ServiceList", "EndpointSlice", "v1"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(_json.filter(lambda value: value is not None))  # null is an empty document in YAML
def test_json_and_yaml_of_the_same_structure_are_equal(value: object) -> None:
    text = json.dumps(value)
    as_json, as_yaml = parse(text, "x.json"), parse("--- " + text)
    assert [e.object.key for e in as_json.manifests] == [e.object.key for e in as_yaml.manifests]
    assert len(as_json.problems) == len(as_yaml.problems)
    assert as_json.skipped == as_yaml.skipped


def test_cluster_ips_are_packed() -> None:
    (entry,) = parse(A + "spec: {clusterIP: 10.96.0.9}\n").manifests
    assert isinstance(entry.object, Service)
    assert entry.object.cluster_ips == (pack_address("10.96.0.9"),)
