"""A Namespace is stripped to its DNS fields and checked."""

from __future__ import annotations

from dnsd.cluster.objects import Namespace
from tests.cluster.objects.decoding import one, refused


def test_labels_and_uid_are_kept_and_the_name_must_be_a_label() -> None:
    plain = {"kind": "Namespace", "metadata": {"name": "a", "labels": {"x": "y"}, "uid": "u"}}
    assert one(plain) == Namespace("a", {"x": "y"}, uid="u")
    assert refused({"kind": "Namespace", "metadata": {"name": "A"}}).field == "metadata.name"
