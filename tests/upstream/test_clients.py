"""Pods by address: only an address of exactly one pod identifies it."""

from __future__ import annotations

from typing import Any

from dnsd.cluster.objects import Key, Pod
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text
from dnsd.upstream.clients import Clients, compile_clients
from dnsd.upstream.search import Client

POD = pack_address("10.244.0.7")


def pod(name: str = "web-0", ip: str = "10.244.0.7", **fields: Any) -> Pod:
    return Pod("default", name, (pack_address(ip),), "Running", **fields)


def keyed(*pods: Pod) -> dict[Key, Pod | None]:
    return {pod.key: pod for pod in pods}


class TestClients:
    def test_a_pod_is_found_by_its_address(self) -> None:
        clients = Clients()
        clients.apply(
            compile_clients(keyed(pod(searches=("corp.example", "bad..name"))), reset=True)
        )
        assert clients.find(POD) == Client("default", (name_from_text("corp.example"),))
        assert clients.find(b"\x0a\0\0\1") is None

    def test_an_address_of_two_pods_identifies_neither(self) -> None:
        clients = Clients()
        clients.apply(compile_clients(keyed(pod("a"), pod("b"))))
        assert clients.find(POD) is None
        clients.apply(compile_clients({Key("Pod", "default", "a"): None}))
        assert clients.find(POD) == Client("default")

    def test_a_reassigned_address_belongs_to_the_new_pod(self) -> None:
        clients = Clients()
        clients.apply(compile_clients(keyed(pod("old"))))
        new = Pod("other", "new", (POD,), "Running")
        finished = Pod("default", "old", (POD,), "Succeeded")
        clients.apply(compile_clients(keyed(finished, new)))
        assert clients.find(POD) == Client("other")

    def test_a_reset_drops_all_other_pods(self) -> None:
        clients = Clients()
        clients.apply(compile_clients(keyed(pod("a"))))
        clients.apply(compile_clients({}, reset=True))
        assert clients.find(POD) is None
