"""What every kind of object has: its place in the API, its raw shape, and its stripped shape.

In `cluster/objects/` (control plane: one file per kind of object). Change here: what all kinds
share.

To add a kind, write one file like `ingress.py` that ends with its `Kind`, and add that `Kind` to
the table in `table.py`.

An object of the API is large, and the names that it causes depend on few of its fields. So each
kind has two shapes:

* A *raw* struct mirrors the JSON of the API and has only the fields that DNS needs. msgspec
  decodes and validates it in one pass and skips all other fields. The API writes null for empty
  lists (`"endpoints":null`), so every optional field allows None.
* The *stripped* struct is flat and frozen, and holds addresses as octets. `version`
  (metadata.resourceVersion) and `origin` (the manifest) allow `explain` to cite the object behind
  an answer.

Stripped objects are array-like, because `store.py` packs them by the position of the fields. Their
`__dict__` holds the octets that they were packed into. A namespace or name that outlives its object
(in a Key, or as the key of a dict) is interned, so that all users share one copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from sys import intern
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from dnsd.cluster.validation import Check, Key, LabelRule, Meta

S = TypeVar("S")
T = TypeVar("T")


class Object(Struct, frozen=True, array_like=True, dict=True, kw_only=True):
    """A stripped object of any kind. msgspec moves keyword-only fields behind those of the kind."""

    uid: str = ""
    version: str = ""  # metadata.resourceVersion

    if TYPE_CHECKING:
        # Each kind has these too: as fields, or as constants of the class.
        @property
        def kind(self) -> str: ...
        @property
        def namespace(self) -> str: ...
        @property
        def name(self) -> str: ...
        @property
        def origin(self) -> str: ...

    @property
    def key(self) -> Key:
        """The key of this object."""
        return Key(self.kind, intern(self.namespace), intern(self.name))


class Undated(Object, frozen=True, kw_only=True):
    """An object whose age does not matter."""

    origin: str = ""  # the manifest it was read from


class Dated(Object, frozen=True, kw_only=True):
    """An object whose age decides which of two objects owns a name: the older one."""

    created: str = ""  # metadata.creationTimestamp
    origin: str = ""  # the manifest it was read from


# An event of a source: the new state of an object, or the Key of an object that is gone.
Event = Object | Key


class Raw(Struct, Generic[S, T], rename="camel"):
    """The JSON of an object with these types of spec and status."""

    metadata: Meta
    spec: S | None = None
    status: T | None = None


class RawCondition(Struct):
    """One of status.conditions (Condition, meta/v1)."""

    type: str = ""
    status: str = ""


def is_true(conditions: Iterable[RawCondition] | None, type_: str) -> bool:
    """Whether the condition of this type has the status True."""
    return any(item.type == type_ and item.status == "True" for item in conditions or ())


class Kind(Struct, frozen=True):
    """One kind of object: its resource in the API, and how dnsd decodes it.

    `older`: versions to try in turn when a server does not have `version`, because its CRD has
    another age or is not installed (yet).
    """

    name: str
    plural: str
    group: str  # "": the core group
    raw: type[Any]
    stripped: type[Object] | None  # None: decoded into objects of another kind
    strip: Callable[[Any, Check], Object | list[Object]]
    version: str = "v1"
    older: tuple[str, ...] = ()
    namespaced: bool = True
    contributes: bool = True  # names of its own; else it only affects the names of other objects
    name_rule: LabelRule | None = None

    @property
    def prefix(self) -> str:
        """The path of the group and version, for example `/apis/discovery.k8s.io/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
