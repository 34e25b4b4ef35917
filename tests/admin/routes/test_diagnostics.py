"""Resolve, explain, and plan over HTTP."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from tests.admin.running import READ, Admin, manifest
from tests.admin.serving import NAME, Api
from tests.cases.cluster import port, service
from tests.helpers import until
from tests.serving import SEED, serving

YAML = {"Content-Type": "application/yaml"}


async def test_an_explanation_has_verdict_steps_objects_change_and_search_list(api: Admin) -> None:
    api.apply(service("api", "10.96.0.99", ports=[port(443)]))
    await api.context.history.flush()
    found = await api.get("/api/v1/explain", name="api.prod")
    assert found["verdict"].startswith("api.prod.svc.cluster.local. A resolves to 10.96.0.99")
    assert found["changed"]["before"] == ["api.prod.svc.cluster.local. 5 IN A 10.96.0.13"]
    assert found["objects"][-1]["name"] == "api"
    assert {step["what"] for step in found["steps"]} >= {"zone", "namespace", "service"}
    assert len(found["search"]) == 4
    missing = await api.get("/api/v1/explain", name="wbe.prod.svc.cluster.local.")
    assert missing["nearest"][0]["name"] == "web.prod.svc.cluster.local."


@pytest.mark.parametrize("query", ["name=a..b", "name=web&type=NOPE", "name=web&client=x", ""])
async def test_an_invalid_question_is_a_bad_request(api: Admin, query: str) -> None:
    for path in ("explain", "resolve"):
        assert (await api.call("GET", f"/api/v1/{path}?{query}"))[0] == 400


async def test_resolve_without_workers_is_unavailable(api: Admin) -> None:
    status, body = await api.call("GET", "/api/v1/resolve?name=web.prod.svc.cluster.local")
    assert (status, body["detail"]) == (503, "no worker answers now")


async def test_a_plan_lists_changes_and_applies_nothing(api: Admin) -> None:
    serial = api.plane.pipeline.zone.serial
    body = manifest(service("api", "10.96.0.99", ports=[port(443, "https")]))
    status, found = await api.call("POST", "/api/v1/plan", READ, data=body, headers=YAML)
    assert status == 200, found
    assert found["breaks"]
    assert {row["name"] for row in found["appear"]} == {
        "_https._tcp.api.prod.svc.cluster.local.",
        "99.0.96.10.in-addr.arpa.",
    }
    assert found["change"][0]["before"] == ["10.96.0.13"]
    assert found["change"][0]["asked"] == 0
    assert api.plane.pipeline.zone.serial == serial
    mode = "/api/v1/plan?mode=delete"
    status, found = await api.call("POST", mode, READ, json=service("api", "10.96.0.13"))
    assert len(found["vanish"]) == 3


async def test_unreadable_manifests_are_unprocessable(api: Admin) -> None:
    for body in (b"{unfinished: [", b"kind: Service\nmetadata: {name: -}\n"):
        status, found = await api.call("POST", "/api/v1/plan", data=body, headers=YAML)
        assert (status, len(found["problems"])) == (422, 1), found
    status, found = await api.call("POST", "/api/v1/plan", data=b"", headers=YAML)
    assert (status, found["verdict"]) == (200, "No name would change.")


def test_resolve_returns_the_reply_of_the_engine(running: Api) -> None:
    found = running.call(f"/api/v1/resolve?name={NAME}&over=udp")
    assert (found["rcode"], found["answer"][0]["value"]) == ("NOERROR", "10.96.100.100")
    assert running.server.values(NAME) == ["10.96.100.100"]
    assert bytes.fromhex(found["reply"])[2:4] == b"\x85\x00"
    missing = running.call(f"/api/v1/resolve?name=no.{NAME}")
    assert (missing["rcode"], missing["authority"][0]["type"]) == ("NXDOMAIN", "SOA")


@contextmanager
def upstream() -> Iterator[int]:
    """A name server on loopback that answers each query with one address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        stop = threading.Event()

        def serve() -> None:
            sock.settimeout(0.05)
            while not stop.is_set():
                try:
                    packet, client = sock.recvfrom(4096)
                except TimeoutError:
                    continue
                query = dns.message.from_wire(packet)
                reply = dns.message.make_response(query)
                asked = query.question[0]
                reply.answer.append(dns.rrset.from_text(asked.name, 600, "IN", "A", "192.0.2.9"))
                sock.sendto(reply.to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def test_an_external_name_is_explained_by_its_upstream_and_the_cache(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with upstream() as port:
        flags = ("--manifests", str(SEED), "--admin", "127.0.0.1:0")
        flags += ("--upstream", f"udp://127.0.0.1:{port}")
        with serving(*flags, environ=environ) as server:
            running = Api(server)
            before = running.call("/api/v1/explain?name=www.example.org.")
            assert f"forwarded to udp://127.0.0.1:{port}" in before["verdict"]
            steps = {step["what"]: step["said"] for step in before["steps"]}
            assert "has no reply" in steps["cache"]
            assert before["outcome"] == "forwarded"
            resolved = running.call("/api/v1/resolve?name=www.example.org")
            assert resolved["answer"][0]["value"] == "192.0.2.9"
            after = running.call("/api/v1/explain?name=www.example.org.")
            steps = {step["what"]: step["said"] for step in after["steps"]}
            assert re.search(r"a cached reply \(NOERROR\) is valid for \d+ s", steps["cache"])
            stays = running.call("/api/v1/explain?name=www.example.local.")
            assert "special-use name" in stays["verdict"]
            alias = running.call("/api/v1/explain?name=externalname-svc")
            assert "is an alias of google.com." in alias["verdict"]
            flush = "/api/v1/cache/flush"
            assert running.call(flush + "?name=other.example", "POST", {}) == {"flushed": 0}
            assert running.call(flush + "?name=www.example.org", "POST", {}) == {"flushed": 1}
            until(lambda: "dnsd_upstream_up{" in running.text("/metrics"))
            assert 'dnsd_cache_lookups_total{result="miss"} ' in running.text("/metrics")


def test_a_plan_counts_recent_queries(running: Api) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "webui-svc", "namespace": "default"},
    }

    def asked() -> bool:
        running.server.query(NAME)
        found = running.call("/api/v1/plan?mode=delete", "POST", manifest)
        return any(row["asked"] for row in found["vanish"])

    until(asked)
