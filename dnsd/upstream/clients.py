"""Which pod is behind an address: what search-path completion has to know.

The control plane knows the pods; a worker is told what matters of them in frames of their
own kind, between those of the table and in the same order. Such a frame begins with an
octet that msgpack never uses, so the two cannot be taken for each other.

An address with several running pods (it was handed on a moment ago, or they share their
node's network) tells nothing: `find` says so with None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from dnsd.dns.names import BadName, Name, name_from_text
from dnsd.upstream.search import Client
from dnsd.upstream.status import CLIENTS

if TYPE_CHECKING:  # the side that tells; a worker has no objects
    from dnsd.cluster.objects import Key, Pod

_MAX_SEARCHES = 32  # Kubernetes' own limit (core/v1 PodDNSConfig)


class _Told(Struct, array_like=True, frozen=True):
    """A running pod: its key as text, its addresses, what its resolver was told."""

    key: str
    namespace: str
    addresses: tuple[bytes, ...]
    searches: tuple[str, ...]
    host_network: bool
    dns_policy: str


class _Step(Struct, array_like=True, frozen=True):
    reset: bool
    pods: tuple[_Told, ...]
    gone: tuple[str, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Step).decode


def compile_clients(pods: Mapping[Key, Pod | None], reset: bool = False) -> bytes:
    """The frame of these pods by key; `reset`: they are all pods.

    A pod that has finished is gone, and so is a key without a pod (None).
    """
    running, gone = [], []
    for key, pod in pods.items():
        if pod is None or not pod.running or not pod.ips:
            gone.append(str(key))
            continue
        searches = pod.searches[:_MAX_SEARCHES]
        fields = (pod.namespace, pod.ips, searches, pod.host_network, pod.dns_policy)
        running.append(_Told(str(key), *fields))
    return CLIENTS + _encode(_Step(reset, tuple(running), tuple(gone)))


class Clients:
    """The pods by address."""

    def __init__(self) -> None:
        self._pods: dict[str, _Told] = {}
        self._at: dict[bytes, dict[str, Client]] = {}

    def apply(self, frame: bytes) -> None:
        """Takes a frame in. Raises msgspec.DecodeError for what is none."""
        step = _decode(frame[1:])
        if step.reset:
            self._pods.clear()
            self._at.clear()
        for key in step.gone:
            self._forget(key)
        for pod in step.pods:
            self._forget(pod.key)
            self._pods[pod.key] = pod
            client = Client(pod.namespace, _names(pod.searches), pod.host_network, pod.dns_policy)
            for address in pod.addresses:
                self._at.setdefault(address, {})[pod.key] = client

    def _forget(self, key: str) -> None:
        pod = self._pods.pop(key, None)
        for address in pod.addresses if pod is not None else ():
            there = self._at[address]
            there.pop(key, None)
            if not there:
                del self._at[address]

    def find(self, address: bytes) -> Client | None:
        """The pod with this address, if there is exactly one."""
        there = self._at.get(address)
        if there is None or len(there) != 1:
            return None
        return next(iter(there.values()))

    def __len__(self) -> int:
        return len(self._pods)


def _names(texts: Iterable[str]) -> tuple[Name, ...]:
    out = []
    for text in texts:
        try:
            out.append(name_from_text(text))
        except (BadName, UnicodeError):
            continue  # kubelet writes it all the same; a resolver cannot use it
    return tuple(out)
