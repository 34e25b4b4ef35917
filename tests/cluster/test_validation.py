"""Keys, errors, and the checks that all kinds share."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import BadObject, Key, is_host_name
from dnsd.cluster.validation import RFC_1035, Check, Meta


def check(name: str = "web", namespace: str | None = None) -> Check:
    return Check("Service", Meta(name, namespace), "", True, RFC_1035)


def test_a_key_as_text_omits_an_empty_namespace() -> None:
    assert str(Key("Service", "d", "a")) == "Service d/a"
    assert str(Key("Node", "", "a")) == "Node a"


def test_an_error_names_the_object_the_field_and_the_problem() -> None:
    assert str(BadObject("Pod", "d", "a", "spec.x", "is bad")) == "Pod d/a: spec.x: is bad"
    assert str(BadObject("Pod", "", "", "", "is bad")) == "Pod: is bad"


def test_an_absent_namespace_is_default() -> None:
    assert check().namespace == "default"
    assert Check("Node", Meta("n"), "", False, None).namespace == ""


@pytest.mark.parametrize("text", ["a", "a.b.", "_spf.Example", "1.2", "a" * 63, "x." * 126 + "y"])
def test_a_host_name_has_labels_that_a_cname_can_carry(text: str) -> None:
    assert is_host_name(text)


@pytest.mark.parametrize("text", ["", ".", "a..b", "-a", "a b", "a" * 64, "é", "x." * 127 + "y"])
def test_a_long_or_malformed_name_is_not_a_host_name(text: str) -> None:
    assert not is_host_name(text)


def test_a_port_is_from_1_to_65535() -> None:
    assert check().port("p", 65535) == 65535
    for port in (-1, 0, 65536):
        with pytest.raises(BadObject, match=f"p: {port} is not in 1 to 65535"):
            check().port("p", port)
    with pytest.raises(BadObject, match="p: is missing"):
        check().port("p", None)


def test_the_path_of_a_bad_address_names_its_position() -> None:
    with pytest.raises(BadObject, match=r"spec\.externalIPs\[1\]: 'x' is not an IP address"):
        check().addresses("spec.externalIPs", ["10.0.0.1", "x"])


def test_the_path_of_an_error_in_nested_lists_names_each_position() -> None:
    def read(inner: Check, ports: list[int]) -> tuple[int, ...]:
        return inner.each("ports", ports, lambda one, port: one.port("port", port))

    assert check().each("subsets", [[1], [2, 3]], read) == ((1,), (2, 3))
    assert check().each("subsets", None, read) == ()
    with pytest.raises(BadObject, match=r"d/a: subsets\[1\]\.ports\[2\]\.port: 0 is not in 1 to"):
        Check("Endpoints", Meta("a", "d"), "", True, None).each("subsets", [[1], [2, 3, 0]], read)
