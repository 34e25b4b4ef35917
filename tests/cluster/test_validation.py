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


def test_an_optional_port_may_be_absent_but_not_wrong() -> None:
    assert check().port("p", None, optional=True) == check().port("p", 0, optional=True) == 0
    with pytest.raises(BadObject, match="p: 65536"):
        check().port("p", 65536, optional=True)


def test_the_path_of_a_bad_address_names_the_field_that_was_given() -> None:
    for values, single, path in (
        (["10.0.0.1", "x"], None, r"status\.podIPs\[1\]\.ip"),
        ([], "x", r"status\.podIP"),
    ):
        with pytest.raises(BadObject, match=f"{path}: 'x' is not an IP address"):
            check().addresses("status.podIPs", values, item="[{}].ip", single=single)
