"""Pods by address: the clients whose search lists dnsd can complete.

In `upstream/` (data plane: external names). Change here: which facts about pods reach the workers.

The control process sends the pods in frames of their own, between those of the table and in the
same order. Such a frame begins with an octet that msgpack never uses, so the two cannot be
confused.

If several running pods have an address (it was reassigned a moment ago, or they share the network
of their node), `find` returns None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from dnsd.dns.names import BadName, Name, name_from_text
from dnsd.upstream.search import Client
from dnsd.upstream.status import CLIENTS

if TYPE_CHECKING:  # used by the control process only; a worker has no objects
    from dnsd.cluster.objects import Key, Pod

_MAX_SEARCHES = 32  # Kubernetes' own limit (core/v1 PodDNSConfig)


class _Pod(Struct, array_like=True, frozen=True):
    """A running pod: its key as text, its addresses, and the options of its resolver."""

    key: str
    addresses: tuple[bytes, ...]
    client: Client


class _Step(Struct, array_like=True, frozen=True):
    reset: bool
    pods: tuple[_Pod, ...]
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
        searches = _names(pod.searches[:_MAX_SEARCHES])
        client = Client(pod.namespace, searches, pod.host_network, pod.dns_policy)
        running.append(_Pod(str(key), pod.ips, client))
    return CLIENTS + _encode(_Step(reset, tuple(running), tuple(gone)))


class Clients:
    """The pods by address."""

    def __init__(self) -> None:
        self._pods: dict[str, _Pod] = {}
        self._at: dict[bytes, dict[str, Client]] = {}

    def apply(self, frame: bytes) -> None:
        """Applies a frame. Raises msgspec.DecodeError."""
        step = _decode(frame[1:])
        if step.reset:
            self._pods.clear()
            self._at.clear()
        for key in step.gone:
            self._forget(key)
        for pod in step.pods:
            self._forget(pod.key)
            self._pods[pod.key] = pod
            for address in pod.addresses:
                self._at.setdefault(address, {})[pod.key] = pod.client

    def _forget(self, key: str) -> None:
        pod = self._pods.pop(key, None)
        for address in pod.addresses if pod is not None else ():
            there = self._at[address]
            there.pop(key, None)
            if not there:
                del self._at[address]

    def find(self, address: bytes) -> Client | None:
        """The pod with this address; None if no pod or several pods have it."""
        there = self._at.get(address)
        if there is None or len(there) != 1:
            return None
        return next(iter(there.values()))


def _names(texts: Iterable[str]) -> tuple[Name, ...]:
    out = []
    for text in texts:
        try:
            out.append(name_from_text(text))
        except (BadName, UnicodeError):
            continue  # kubelet writes such a name too, and resolvers ignore it
    return tuple(out)
