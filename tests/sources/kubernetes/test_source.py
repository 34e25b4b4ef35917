"""The source against the fake API server: which objects it publishes, when, and its state."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import tracemalloc

import msgspec
import pytest
from structlog.testing import capture_logs

from dnsd.cluster.objects import Key
from dnsd.cluster.store import unpack
from dnsd.dns.names import name_from_text
from dnsd.sources.kubernetes.client import connect
from dnsd.sources.kubernetes.credentials import Access
from dnsd.sources.kubernetes.scope import scopes
from dnsd.sources.kubernetes.settings import ALWAYS, KubernetesConfig
from dnsd.sources.kubernetes.snapshot import LAYOUT, Header, Snapshot
from dnsd.sources.kubernetes.source import BATCH, KubernetesSource
from dnsd.sources.source import Batch
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import SchemaConfig
from tests.fakekube import faults, plain
from tests.fakekube.connect import QUICK, client_of
from tests.fakekube.consumer import Consumer, consuming, contents
from tests.fakekube.server import FakeKube
from tests.helpers import eventually
from tests.serving import ROOT

CONFIG = KubernetesConfig(page_size=3, reconcile_every=0.0)
KINDS = (*ALWAYS, "Pod", "Node")
ROUTE = {
    "kind": "HTTPRoute",
    "apiVersion": "gateway.networking.k8s.io/v1",
    "metadata": {"name": "site", "namespace": "team-a"},
    "spec": {"hostnames": ["www.k8s.example.com"], "parentRefs": [{"name": "gate"}]},
}


def config(**changes) -> KubernetesConfig:
    return msgspec.structs.replace(CONFIG, **changes)


@pytest.fixture
async def kube():
    async with FakeKube(uid="cluster-one") as server:
        store = server.store
        for name in ("team-a", "team-b"):
            store.put("namespaces", plain.namespace(name, {"team": name[-1]}))
            for number in range(4):
                ip = f"10.96.{ord(name[-1])}.{number + 1}"
                labels = {"tier": "web" if number % 2 else "db"}
                service = plain.service(f"s{number}", ip, namespace=name, labels=labels)
                store.put("services", service)
                where = {"namespace": name}
                ready = plain.endpoint_slice(f"s{number}-x", f"s{number}", ["10.1.0.1"], **where)
                store.put("endpointslices", ready)
        store.put("pods", plain.pod("p", "10.1.0.1", namespace="team-a"))
        store.put("nodes", plain.node("node-1", "192.0.2.1"))
        yield server


@pytest.fixture
async def client(kube, tmp_path):
    async with client_of(kube, tmp_path) as one:
        yield one


async def agree(one, kube, **keep) -> None:
    """Wait until the published objects are those of the server."""

    def equal() -> bool:
        wanted = contents(kube)
        kinds = {scope.resource.name for scope in scopes(one.source.config)}
        return one.source.synced and one.objects == {
            key: value for key, value in wanted.items() if key.kind in kinds
        }

    await eventually(equal, "the published objects are those of the server")


class TestWatching:
    async def test_only_the_configured_kinds_are_requested(self, kube, client):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
        plurals = {seen.plural for seen in kube.seen if seen.verb != "get"}
        assert plurals == {"namespaces", "services", "endpointslices"}

    async def test_pods_and_nodes_are_watched_if_configured(self, kube, client):
        async with consuming(client, config(kinds=KINDS)) as one:
            await agree(one, kube)
            assert one.names("Pod") == {"p"}
            assert one.names("Node") == {"node-1"}

    async def test_synced_becomes_true_with_the_last_kind_and_stays_true(self, kube, client):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            kube.store.delete("services", "s0", "team-a")
            await agree(one, kube)
            flags = [batch.synced for batch in one.batches]
        assert flags == sorted(flags)
        chunk = [batch.events for batch in one.batches if not batch.synced]
        assert sum(map(len, chunk)) >= 16

    @pytest.mark.parametrize("watch_list", ["on", "invalid"])
    async def test_creates_updates_and_deletes_are_published(self, watch_list, kube, client):
        kube.watch_list = watch_list
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            kube.store.put("services", plain.external("out", "example.com", namespace="team-a"))
            kube.store.put("services", plain.service("s0", "10.96.9.9", namespace="team-a"))
            kube.store.delete("endpointslices", "s1-x", "team-b")
            kube.store.delete("namespaces", "team-b")
            await agree(one, kube)

    async def test_a_relist_publishes_only_differences_and_deletions_last(self, kube, client):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            before = one.events
            await kube.stop()
            kube.store.delete("services", "s0", "team-a")
            kube.store.put("services", plain.service("s1", "10.96.7.7", namespace="team-a"))
            kube.store.compact()
            await kube.start()
            await agree(one, kube)
            assert one.events == before + 2
            last = [event for batch in one.batches for event in batch.events][-2:]
            assert [isinstance(event, Key) for event in last] == [False, True]
            assert one.status("services").relists == 1

    async def test_an_object_in_the_same_version_is_not_published_again(self, kube, client):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            before = one.events
            listed = kube.count("watch", "services")
            kube.faults.append(faults.error(410, plural="services"))
            kube.end_streams()
            await eventually(lambda: one.status("services").relists == 1)
            assert kube.count("watch", "services") > listed
            assert one.events == before

    async def test_a_bad_object_is_left_out_and_logged_once(self, kube, client, capsys):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            kube.store.put("services", plain.service("s0", "10.96", namespace="team-a"))
            kube.store.put("services", plain.service("s1", "10.96.8.8", namespace="team-a"))
            await eventually(lambda: one.status("services").errors == 1)
            s1 = Key("Service", "team-a", "s1")
            await eventually(lambda: one.objects[s1].cluster_ips == (bytes([10, 96, 8, 8]),))
            # Its previous state stays in service, through a relist too.
            kube.store.compact()
            kube.faults.append(faults.status(410, plural="services", verb="watch"))
            kube.end_streams()
            await eventually(lambda: one.status("services").relists == 1)
            assert Key("Service", "team-a", "s0") in one.objects
        assert capsys.readouterr().out.count("an object is left out") == 1

    async def test_the_control_loop_runs_other_tasks_between_batches(self, kube, client):
        kube.watch_list = "invalid"
        for number in range(4 * BATCH):
            kube.store.put("services", plain.service(f"s{number}", f"10.97.0.{number % 250}"))
        async with consuming(client, CONFIG) as one:
            turns = {}

            async def count_turns() -> None:
                while not one.source.synced:
                    turns[len(one.batches)] = turns.get(len(one.batches), 0) + 1
                    await asyncio.sleep(0)

            await count_turns()
        assert max(len(batch.events) for batch in one.batches) <= BATCH
        assert len(turns) > 4  # the loop ran between batches


class TestStart:
    async def test_nothing_is_published_before_everything_is_listed(self, kube, client):
        kube.faults.append(faults.drip(200, 0.02, plural="endpointslices"))
        async with consuming(client, CONFIG) as one:
            await eventually(lambda: one.status("services").state == "synced")
            assert one.events == 0
            await agree(one, kube)
        kinds = [event.kind for batch in one.batches for event in batch.events]
        assert kinds == sorted(kinds, key=lambda kind: kind != "EndpointSlice")
        assert len(kinds) == len(one.objects)  # each once

    async def test_a_change_during_the_first_publication_is_not_lost(self, kube, client):
        for number in range(3 * BATCH):
            kube.store.put("services", plain.service(f"s{number}", f"10.97.0.{number % 250}"))
        source = KubernetesSource(client, CONFIG)
        one = Consumer(source)

        def publish(batch: Batch) -> None:
            if batch.events and not one.events:  # the first batch of several
                for number in range(3 * BATCH):
                    if number % 2:
                        kube.store.delete("services", f"s{number}", "default")
                    else:
                        kube.store.put("services", plain.service(f"s{number}", "10.98.0.1"))
            one.publish(batch)

        task = asyncio.create_task(source.run(publish))
        await agree(one, kube)
        assert sum(not batch.synced for batch in one.batches) > 3
        task.cancel()
        await asyncio.wait({task})

    async def test_after_a_failed_publication_everything_is_published_again(self, kube, client):
        source = KubernetesSource(client, CONFIG)
        one = Consumer(source)
        refuse = [True]

        def publish(batch: Batch) -> None:
            if batch.events and refuse:
                refuse.clear()
                raise RuntimeError("not now")
            one.publish(batch)

        with pytest.raises(ExceptionGroup):
            await source.run(publish)
        assert not source.synced
        task = asyncio.create_task(source.run(publish))
        await agree(one, kube)
        task.cancel()
        await asyncio.wait({task})


class TestFilters:
    async def test_few_namespaces_are_watched_one_by_one(self, kube, client):
        async with consuming(client, config(namespaces=("team-a",))) as one:
            await eventually(lambda: one.source.synced)
            assert {key.namespace or key.name for key in one.objects} == {"team-a"}
        paths = {seen.path for seen in kube.seen if seen.verb == "watch"}
        assert "/api/v1/namespaces/team-a/services" in paths
        assert "/api/v1/services" not in paths

    async def test_many_namespaces_are_watched_together_and_filtered_by_dnsd(self, kube, client):
        many = ("team-a", *(f"n{number}" for number in range(20)))
        async with consuming(client, config(namespaces=many)) as one:
            await eventually(lambda: one.source.synced)
            assert {key.namespace or key.name for key in one.objects} == {"team-a"}
            kube.store.put("services", plain.service("late", "10.96.3.3", namespace="team-b"))
            kube.store.put("services", plain.service("later", "10.96.3.4", namespace="team-a"))
            await eventually(lambda: "later" in one.names())
            assert "late" not in one.names()
        assert len({seen.path for seen in kube.seen if seen.verb == "watch"}) == 3

    async def test_the_server_applies_the_service_selector(self, kube, client):
        async with consuming(client, config(service_selector="tier=web")) as one:
            await eventually(lambda: one.source.synced)
            assert one.names() == {"s1", "s3"}
            turned = plain.service("s0", "10.96.1.1", namespace="team-a", labels={"tier": "web"})
            kube.store.put("services", turned)
            await eventually(lambda: one.names() == {"s0", "s1", "s3"})
            turned["metadata"]["labels"] = {"tier": "db"}
            kube.store.put("services", turned)
            await eventually(lambda: one.names() == {"s1", "s3"})

    async def test_a_label_of_a_namespace_shows_and_hides_its_objects_without_a_list(
        self, kube, client
    ):
        async with consuming(client, config(namespace_selector="team=a")) as one:
            await eventually(lambda: one.source.synced)
            inside = {key for key in contents(kube) if "team-a" in (key.namespace, key.name)}
            everything = {key for key in inside if key.kind in ALWAYS}
            await eventually(lambda: set(one.objects) == everything)
            lists = kube.count("watch") + kube.count("list")
            kube.store.put("namespaces", plain.namespace("team-b", {"team": "a"}))
            await eventually(lambda: len(one.objects) == 2 * len(everything))
            kube.store.put("namespaces", plain.namespace("team-a", {"team": "z"}))
            await eventually(lambda: len(one.objects) == len(everything))
            assert {key.namespace for key in one.objects if key.kind == "Service"} == {"team-b"}
            assert kube.count("watch") + kube.count("list") == lists


class TestFailures:
    @pytest.mark.parametrize("how", ["forbidden", "lacking"])
    async def test_a_refused_optional_kind_does_not_delay_the_others(self, how, kube, client):
        if how == "forbidden":
            kube.forbidden = {("list", "nodes"), ("watch", "nodes")}
        else:
            kube.not_installed = {"nodes"}
        async with consuming(client, config(kinds=KINDS)) as one:
            await eventually(lambda: one.source.synced)
            assert one.names("Pod") == {"p"}
            assert one.status("nodes").state == {"forbidden": "failing", "lacking": "absent"}[how]
            unknown = (Key("Node", "", ""),) if how == "forbidden" else ()
            assert one.batches[-1].unknown == unknown
            kube.forbidden, kube.not_installed = set(), set()
            await eventually(lambda: one.names("Node") == {"node-1"})
            assert one.status("nodes").state == "synced"

    async def test_a_missing_crd_is_logged_as_information_and_watched_once_it_exists(
        self, kube, client
    ):
        kube.not_installed = {"httproutes", "dnsendpoints"}
        kube.store.put("httproutes", ROUTE)
        kinds = (*ALWAYS, "Ingress", "HTTPRoute", "TLSRoute", "DNSEndpoint")
        with capture_logs() as logs:
            async with consuming(client, config(kinds=kinds)) as one:
                await eventually(lambda: one.source.synced)
                # TLSRoutes are there, in the last of the versions that are tried.
                await eventually(lambda: one.status("tlsroutes").state == "synced")
                for scope in ("httproutes", "dnsendpoints"):
                    await eventually(lambda scope=scope: one.status(scope).state == "absent")
                    assert one.status(scope).errors == 0
                kube.not_installed = set()
                await eventually(lambda: one.names("HTTPRoute") == {"site"})
                await eventually(lambda: one.status("dnsendpoints").state == "synced")
                assert one.source.synced
        loud = [log for log in logs if log["log_level"] not in ("info", "debug")]
        assert not loud
        assert sum(log.get("scope") == "httproutes" for log in logs) == 2  # absent, followed

    async def test_removing_a_crd_withdraws_its_objects(self, kube, client):
        kube.not_installed = set()
        kube.store.put("httproutes", ROUTE)
        async with consuming(client, config(kinds=(*ALWAYS, "HTTPRoute"))) as one:
            await eventually(lambda: one.source.synced)
            assert one.names("HTTPRoute") == {"site"}
            begin = len(one.batches)
            kube.not_installed = {"httproutes"}
            kube.end_streams()
            await eventually(lambda: not one.names("HTTPRoute"))
            assert one.status("httproutes").state == "absent"
            kube.not_installed = set()
            await eventually(lambda: one.names("HTTPRoute") == {"site"})
            await eventually(lambda: one.status("httproutes").state == "synced")
            # An unsynced batch would be SERVFAIL for every name.
            assert all(batch.synced for batch in one.batches[begin:])

    async def test_a_failing_optional_kind_delays_the_start_for_a_few_attempts(self, kube, client):
        kube.faults.append(faults.status(500, plural="nodes", times=-1))
        async with consuming(client, config(kinds=KINDS)) as one:
            await eventually(lambda: one.source.synced)
            assert one.status("nodes").state == "failing"
            assert one.status("nodes").errors >= 3
            kube.faults.clear()
            await eventually(lambda: one.names("Node") == {"node-1"})

    async def test_an_unreachable_server_excuses_no_kind(self, kube, client):
        """Otherwise names are denied that its first list would contain."""
        await kube.stop()
        async with consuming(client, config(kinds=KINDS)) as one:
            await eventually(lambda: min(each.errors for each in one.source.status()) > 5)
            kube.faults.append(faults.drip(100, 0.02, plural="nodes"))  # the last one to be listed
            await kube.start()
            await agree(one, kube)
            at = next(at for at, batch in enumerate(one.batches) if batch.synced)
            kinds = {event.kind for batch in one.batches[: at + 1] for event in batch.events}
            assert kinds == set(KINDS)

    async def test_a_kind_that_policies_need_delays_the_start(self, kube, client):
        kube.forbidden = {("list", "pods"), ("watch", "pods")}
        async with consuming(client, config(kinds=KINDS, needed=("Pod",))) as one:
            await eventually(lambda: one.status("pods").errors >= 5)
            assert "policies need them" in one.status("pods").detail
            assert not one.source.ready
            assert not any(batch.synced for batch in one.batches)
            kube.forbidden = set()
            await agree(one, kube)

    async def test_a_forbidden_namespace_does_not_delay_the_others(self, kube, client):
        kube.forbidden_namespaces = {"team-b"}
        both = config(namespaces=("team-a", "team-b"))
        async with consuming(client, both) as one:
            await eventually(lambda: one.source.synced)
            assert {key.namespace for key in one.objects if key.kind == "Service"} == {"team-a"}
            assert "the Role in namespace team-b" in one.status("services@team-b").detail
            kinds = ("Service", "EndpointSlice")
            unknown = {Key(kind, "team-b", "") for kind in kinds}
            await eventually(lambda: set(one.batches[-1].unknown) == unknown)
            kube.forbidden_namespaces = set()
            await eventually(lambda: {key.namespace for key in one.objects} >= {"team-b"})
            await eventually(lambda: one.status("services@team-b").state == "synced")
            await eventually(lambda: not one.batches[-1].unknown)
            assert one.source.synced

    async def test_if_all_namespaces_are_forbidden_the_source_is_not_synced(self, kube, client):
        kube.forbidden_namespaces = {"team-a", "team-b"}
        async with consuming(client, config(namespaces=("team-a", "team-b"))) as one:
            await eventually(lambda: one.status("services@team-b").errors >= 5)
            assert not one.source.synced

    async def test_a_snapshot_records_that_a_resource_was_absent(self, kube, client):
        kube.not_installed = {"httproutes"}
        wanted = config(kinds=(*ALWAYS, "HTTPRoute"))
        async with consuming(client, wanted) as one:
            await eventually(lambda: one.source.synced and one.source.to_save())
            header, objects = one.source.to_save()
        assert header.versions["httproutes"] == "-"
        kube.not_installed = set()
        kube.store.put("httproutes", ROUTE)
        saved = msgspec.structs.replace(header, layout=LAYOUT)
        async with consuming(client, wanted, Snapshot(saved, tuple(objects))) as one:
            await eventually(lambda: one.names("HTTPRoute") == {"site"})
            assert not one.source.snapshot_refused

    async def test_a_refused_needed_kind_leaves_the_source_unsynced_and_the_others_live(
        self, kube, client
    ):
        kube.forbidden = {("list", "endpointslices"), ("watch", "endpointslices")}
        async with consuming(client, CONFIG) as one:
            await eventually(lambda: one.status("endpointslices").errors >= 3)
            await eventually(lambda: len(one.names()) == 4)
            kube.store.put("services", plain.service("more", "10.96.3.3"))
            await eventually(lambda: "more" in one.names())
            assert not one.source.synced
            assert one.source.state == "starting"
            assert not one.source.ready
            kube.forbidden = set()
            await agree(one, kube)
            assert one.source.ready

    async def test_the_status_of_a_403_names_the_missing_rule(self, kube, client):
        kube.forbidden = {("list", "endpointslices"), ("watch", "endpointslices")}
        async with consuming(client, CONFIG) as one:
            await eventually(lambda: one.status("endpointslices").detail)
            detail = one.status("endpointslices").detail
        assert 'cannot watch resource "endpointslices"' in detail
        assert (
            'the ClusterRole lacks the rule {apiGroups: ["discovery.k8s.io"],'
            ' resources: ["endpointslices"], verbs: ["list", "watch"]}'
        ) in detail

    async def test_in_a_namespace_the_missing_rule_belongs_to_a_role(self, kube, client):
        kube.forbidden = {("watch", "services")}
        async with consuming(client, config(namespaces=("team-a",))) as one:
            await eventually(lambda: "403" in one.status("services@team-a").detail)
            detail = one.status("services@team-a").detail
        assert "the Role in namespace team-a lacks the rule" in detail

    async def test_a_401_is_reported_and_retried(self, kube, client):
        kube.tokens = {"right"}
        async with consuming(client, CONFIG) as one:
            await eventually(lambda: "401" in one.status("services").detail)
            assert "token" in one.status("services").detail
            kube.tokens = set()
            await agree(one, kube)

    async def test_a_problem_is_logged_once_until_it_changes(self, kube, client, capsys):
        kube.faults.append(faults.status(503, plural="services", times=8))
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            assert one.status("services").errors == 8
        out = capsys.readouterr().out
        assert out.count("cannot be watched") == 1
        assert out.count("watched again") == 1


class TestReconcile:
    async def test_a_lost_event_is_corrected_counted_and_logged(self, kube, client, capsys):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            kube.store.lose("services", 3)
            kube.store.put("services", plain.service("lost", "10.96.3.3"))
            kube.store.put("services", plain.service("s0", "10.96.3.4", namespace="team-a"))
            kube.store.delete("services", "s1", "team-b")
            one.source.reload()
            await agree(one, kube)
            assert one.status("services").corrections == 3
            await eventually(lambda: one.status("namespaces").reconciles == 1)
            assert one.status("namespaces").corrections == 0
        assert "events were lost" in capsys.readouterr().out

    async def test_a_reconcile_runs_periodically(self, kube, client):
        async with consuming(client, config(reconcile_every=0.05)) as one:
            await agree(one, kube)
            kube.store.lose("endpointslices")
            kube.store.delete("endpointslices", "s1-x", "team-b")
            await agree(one, kube)
            await eventually(lambda: one.status("endpointslices").reconciles >= 2)
            assert one.status("endpointslices").corrections == 1

    async def test_a_change_during_a_reconcile_is_not_a_correction(self, kube, client):
        """Their events arrive, so nothing is corrected."""
        async with consuming(client, config(reconcile_every=0.02)) as one:
            await agree(one, kube)
            for number in range(40):
                kube.store.put("services", plain.service(f"n{number}", "10.96.4.4"))
                if number % 3 == 0:
                    kube.store.delete("services", f"n{number}", "default")
                events = one.events
                await eventually(lambda events=events: one.events > events)
            await agree(one, kube)
            done = one.status("services").reconciles
            await eventually(lambda: one.status("services").reconciles > done)
            assert one.status("services").corrections == 0
            await agree(one, kube)

    async def test_a_failed_reconcile_is_retried_and_the_watch_continues(self, kube, client):
        async with consuming(client, config(reconcile_every=0.05)) as one:
            await agree(one, kube)
            kube.faults.append(faults.status(500, plural="services", verb="list", times=2))
            await eventually(lambda: one.status("services").reconciles >= 1)
            assert one.status("services").errors == 2
            assert one.status("services").state == "synced"

    async def test_a_list_of_another_cluster_corrects_nothing(self, kube, client):
        """The watches stay connected; new connections lead to another cluster."""
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            kube.store.lose("namespaces")
            become(kube, "cluster-two")
            kube.store.lose("services")
            kube.store.put("services", plain.service("s0", "10.200.9.9", namespace="team-a"))
            one.source.reload()
            await eventually(lambda: one.source.identity.uid == "cluster-two")
            await agree(one, kube)
            foreign = Key("Service", "team-a", "s0")
            first = next(at for at, b in enumerate(one.batches) if foreign in b.events)
            assert not one.batches[first].synced  # withdrawn with all others
            assert not [log for log in one.source.status() if log.corrections]

    async def test_nothing_is_corrected_while_the_identity_is_unknown(self, kube, client):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            kube.store.lose("services")
            kube.store.delete("services", "s0", "team-a")
            away = faults.status(503, verb="get", times=-1)
            kube.faults.append(away)
            one.source.reload()
            await eventually(lambda: one.status("services").errors == 1)
            assert one.status("services").corrections == 0
            kube.faults.remove(away)
            one.source.reload()
            await agree(one, kube)
            assert one.status("services").corrections == 1


class TestStaleness:
    async def test_the_source_is_not_ready_while_no_watch_has_contact(self, kube, client):
        async with consuming(client, config(stale_after=0.3)) as one:
            assert one.source.state == "starting"
            kube.bookmark_every = 0.02
            await agree(one, kube)
            assert one.source.state == "synced"
            await kube.stop()
            await eventually(lambda: one.source.state == "stale")
            assert not one.source.ready
            await eventually(lambda: one.status("services").state in ("stale", "failing"))
            assert one.source.synced  # what is known is served on
            await kube.start()
            await eventually(lambda: one.source.state == "synced")
            assert one.source.ready

    async def test_bookmarks_alone_prevent_staleness(self, kube, client):
        kube.bookmark_every = 0.02
        async with consuming(client, config(stale_after=0.3)) as one:
            await agree(one, kube)
            seen = one.status("services").last_contact
            await eventually(lambda: one.status("services").last_contact > seen + 0.5)
            assert one.source.state == "synced"
            assert one.status("services").last_event < seen + 0.1

    async def test_a_quiet_stream_ends_a_failure_without_an_event(self, kube, client):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            await kube.stop()
            await eventually(lambda: one.status("services").state == "failing")
            await kube.start()
            await eventually(lambda: one.status("services").state == "synced")
            assert one.status("services").detail == ""
            assert one.status("services").relists == 0

    async def test_contact_of_one_watch_is_sufficient(self, kube, client):
        kube.bookmark_every = 0.02
        kube.faults.append(faults.silence(plural="endpointslices", times=-1))
        async with consuming_briefly(kube, client) as one:
            await eventually(lambda: one.status("endpointslices").state == "stale")
            assert one.source.state == "synced"
            assert "no contact for" in one.status("endpointslices").detail

    async def test_setting_the_time_of_day_does_not_change_staleness(self, kube, client):
        now, clock = [1000.0], [50.0]
        clocks = {"now": lambda: now[0], "clock": lambda: clock[0]}
        async with consuming(client, config(), **clocks) as one:
            await agree(one, kube)
            now[0] += 3600.0
            assert one.source.state == "synced"
            assert one.status("services").state == "synced"
            now[0] -= 7200.0
            await kube.stop()
            await eventually(lambda: one.status("services").state == "failing")
            clock[0] += 301.0
            assert one.source.state == "stale"

    @pytest.mark.parametrize("all_the_same", [False, True])
    async def test_a_snapshot_is_ready_until_stale_after(self, all_the_same, kube, client):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            taken = await saved(one)
        await kube.stop()
        clock = [50.0]
        kept = config(ready_when_stale=all_the_same)
        async with consuming(client, kept, taken, clock=lambda: clock[0]) as one:
            await eventually(lambda: one.source.state == "snapshot")
            clock[0] += 299.0
            assert one.source.ready
            clock[0] += 2.0
            assert one.source.ready == all_the_same
            assert one.source.state == "snapshot"  # and served on
            await kube.start()
            await agree(one, kube)
            assert one.source.ready

    async def test_ready_when_stale_keeps_a_stale_source_ready(self, kube, client):
        async with consuming(client, config(stale_after=0.1, ready_when_stale=True)) as one:
            await agree(one, kube)
            await kube.stop()
            await eventually(lambda: one.source.state == "stale")
            assert one.source.ready
            await kube.start()


def consuming_briefly(kube, client):
    """A consumer with a short stale_after."""
    kube.watch_list = "invalid"
    return consuming(client, config(stale_after=0.2))


def become(kube: FakeKube, uid: str) -> None:
    """From now on, the address leads to another cluster."""
    other = plain.namespace("kube-system")
    other["metadata"]["uid"] = uid
    kube.store.put("namespaces", other)


async def saved(one) -> Snapshot:
    """The snapshot of a synced source."""
    header, objects = await eventually(one.source.to_save)
    return Snapshot(msgspec.structs.replace(header, layout=LAYOUT), tuple(objects))


class TestSnapshot:
    @pytest.fixture
    async def snapshot(self, kube, client):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            await eventually(lambda: one.source.identity.uid)
            taken = await saved(one)
        await eventually(lambda: not kube.watchers)
        kube.seen.clear()
        return taken

    async def test_a_snapshot_holds_objects_versions_and_the_identity_of_the_cluster(
        self, kube, client, snapshot
    ):
        assert {one.key: one for one in map(unpack, snapshot.objects)} == {
            key: one for key, one in contents(kube).items() if key.kind in ALWAYS
        }
        header = snapshot.header
        assert header.cluster == "cluster-one"
        assert header.endpoint == client.endpoint
        assert set(header.versions) == {"namespaces", "services", "endpointslices"}
        assert all(int(version) <= kube.store.revision for version in header.versions.values())

    async def test_a_snapshot_is_served_at_once_without_a_list(self, kube, client, snapshot):
        kube.store.put("services", plain.service("meanwhile", "10.96.3.3"))
        kube.store.delete("services", "s0", "team-a")
        async with consuming(client, CONFIG, snapshot) as one:
            await agree(one, kube)
            first = next(at for at, batch in enumerate(one.batches) if batch.stale)
            served = [event for batch in one.batches[:first] for event in batch.events]
            assert sorted(served, key=str) == sorted(map(unpack, snapshot.objects), key=str)
            assert one.source.state == "synced"
        lists = [seen for seen in kube.seen if seen.verb == "list"]
        # Whether the server has ever been at these versions; see `resuming`.
        assert [seen.params for seen in lists] == [{"limit": "1"}] * 3
        watches = [seen for seen in kube.seen if seen.verb == "watch"]
        assert all("resourceVersion" in seen.params for seen in watches)

    async def test_the_snapshot_of_a_cluster_restored_from_a_backup_is_not_synced(
        self, kube, client, snapshot
    ):
        """The same uid, and versions that the server has not reached yet."""
        ahead = dict.fromkeys(snapshot.header.versions, "99999")
        taken = Snapshot(msgspec.structs.replace(snapshot.header, versions=ahead), snapshot.objects)
        kube.store.delete("services", "s0", "team-a")
        async with consuming(client, CONFIG, taken) as one:
            await agree(one, kube)
            synced = next(at for at, batch in enumerate(one.batches) if batch.synced)
            chunk = [event for batch in one.batches[: synced + 1] for event in batch.events]
            assert Key("Service", "team-a", "s0") in chunk

    async def test_a_snapshot_is_served_while_the_api_server_is_unreachable(
        self, kube, client, snapshot
    ):
        await kube.stop()
        async with consuming(client, CONFIG, snapshot) as one:
            await eventually(lambda: one.source.state == "snapshot")
            await eventually(lambda: len(one.objects) == len(snapshot.objects))
            assert one.source.ready
            assert not one.batches[-1].synced
            await kube.start()
            await agree(one, kube)
            assert one.source.state == "synced"

    async def test_a_compacted_version_is_listed_and_deleted_objects_are_withdrawn(
        self, kube, client, snapshot
    ):
        kube.store.delete("services", "s0", "team-a")
        kube.store.put("services", plain.service("s1", "10.96.3.3", namespace="team-a"))
        kube.store.compact()
        async with consuming(client, CONFIG, snapshot) as one:
            await agree(one, kube)
            assert Key("Service", "team-a", "s0") not in one.objects
            assert one.status("services").relists == 1

    async def test_each_object_of_a_snapshot_belongs_to_the_watch_of_its_namespace(
        self, kube, client
    ):
        """Otherwise the watch of the last one removes the others with its next listing."""
        several = config(namespaces=("team-a", "team-b"), namespace_selector="team")
        async with consuming(client, several) as one:
            await eventually(lambda: one.source.synced)
            everything = dict(one.objects)
            taken = await saved(one)
        kube.store.put("services", plain.service("elsewhere", "10.96.3.3"))
        kube.store.compact()
        async with consuming(client, several, taken) as one:
            await eventually(lambda: one.source.synced)
            assert one.status("namespaces?team&metadata.name=team-a").relists == 1
            assert one.objects == everything
            for scope in one.source.status():
                assert scope.objects == (1 if "namespaces" in scope.name else 4)
            kube.store.delete("namespaces", "team-a")
            await eventually(lambda: one.names("Namespace") == {"team-b"})
            assert {key.namespace for key in one.objects} == {"", "team-b"}

    async def test_a_snapshot_of_another_cluster_is_never_served(self, kube, client, snapshot):
        async with FakeKube(uid="cluster-two") as other:
            await kube.stop()
            await other.stop()
            other.port = kube.port
            await other.start()
            async with consuming(client, CONFIG, snapshot) as one:
                await agree(one, other)
                assert "another cluster" in one.source.snapshot_refused
                chunk = {e.name for b in one.batches for e in b.events if e.namespace == "team-a"}
                assert chunk == set()

    async def test_a_snapshot_of_another_url_is_refused_if_the_identity_is_unknown(
        self, kube, tmp_path, snapshot
    ):
        await kube.stop()
        other = FakeKube()
        other.port = 1  # a closed port
        async with (
            client_of(other, tmp_path) as client,
            consuming(client, CONFIG, snapshot) as one,
        ):
            await eventually(lambda: one.source.snapshot_refused)
            assert "another API server" in one.source.snapshot_refused
            assert one.events == 0

    async def test_a_snapshot_is_withdrawn_at_once_if_the_cluster_is_another(
        self, kube, client, snapshot
    ):
        await kube.stop()
        async with consuming(client, CONFIG, snapshot) as one:
            await eventually(lambda: one.source.state == "snapshot")
            async with FakeKube(uid="cluster-two") as other:
                await other.stop()
                other.port = kube.port
                other.store.put("services", plain.service("foreign", "10.96.3.3"))
                await other.start()
                await agree(one, other)
                assert one.names() == {"foreign"}
                assert one.source.identity.uid == "cluster-two"

    async def test_a_running_source_withdraws_everything_if_another_cluster_answers(
        self, kube, client
    ):
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            async with FakeKube(uid="cluster-two") as other:
                await other.stop()
                await kube.stop()
                other.port = kube.port
                other.store.revision = 500  # so high that old versions would do
                await other.start()
                await agree(one, other)
                taken_back = [b for b in one.batches if not b.synced and len(b.events) > 10]
                assert all(isinstance(event, Key) for event in taken_back[-1].events)

    async def test_a_missing_identity_is_queried_again_beside_the_streams(self, kube, client):
        hanging = faults.status(503, verb="get", times=-1)
        kube.faults.append(hanging)
        async with consuming(client, CONFIG) as one:
            await agree(one, kube)
            assert one.source.identity.uid == ""
            opened = kube.count("watch")
            kube.faults.remove(hanging)
            await eventually(lambda: one.source.identity.uid == "cluster-one")
            assert kube.count("watch") == opened
            kube.faults.append(faults.status(503, verb="get", times=5))
            become(kube, "cluster-two")
            kube.end_streams()
            await eventually(lambda: one.source.identity.uid == "cluster-two")
            await agree(one, kube)

    async def test_the_status_reports_that_the_identity_is_forbidden(self, kube, client):
        name = "metadata.name=team-a"
        kube.forbidden = {("get", "namespaces"), ("list", "namespaces")}
        async with consuming(client, config(namespaces=("team-a",))) as one:
            await eventually(lambda: one.source.synced)
            status = one.status(f"namespaces?{name}")
        assert status.state == "synced"
        assert 'lacks the rule {apiGroups: [""]' in status.detail

    async def test_a_snapshot_of_other_filters_is_refused(self, kube, client, snapshot):
        async with consuming(client, config(service_selector="tier=web"), snapshot) as one:
            await eventually(lambda: one.source.synced)
            assert "other kinds or filters" in one.source.snapshot_refused
            assert one.names() == {"s1", "s3"}

    async def test_a_namespace_that_the_snapshot_lacks_is_unknown_until_listed(self, kube, client):
        kube.forbidden_namespaces = {"team-b"}
        both = config(namespaces=("team-a", "team-b"))
        async with consuming(client, both) as one:
            await eventually(lambda: one.source.synced)
            taken = await saved(one)
        kube.forbidden_namespaces = set()
        async with consuming(client, both, taken) as one:
            await eventually(lambda: one.source.state == "synced")
            stale = next(batch for batch in one.batches if batch.stale)
            assert Key("Service", "team-b", "") in stale.unknown
            await eventually(lambda: not one.batches[-1].unknown)
            assert Key("Service", "team-b", "s0") in one.objects

    async def test_a_snapshot_without_a_needed_kind_is_refused(self, kube, client):
        """It is of a run without policies; those need Pods."""
        kube.forbidden = {("list", "pods"), ("watch", "pods")}
        async with consuming(client, config(kinds=KINDS)) as one:
            await eventually(lambda: one.source.synced)
            taken = await saved(one)
        async with consuming(client, config(kinds=KINDS, needed=("Pod",)), taken) as one:
            await eventually(lambda: one.source.snapshot_refused)
            assert "made without pods" in one.source.snapshot_refused
            await eventually(lambda: one.status("pods").errors > 2)
            assert not any(batch.stale or batch.synced for batch in one.batches)

    async def test_an_unsynced_source_saves_no_snapshot(self, kube, client):
        kube.faults.append(faults.status(503, plural="services", times=-1))
        async with consuming(client, CONFIG) as one:
            await eventually(lambda: one.status("services").errors > 2)
            assert one.source.to_save() is None

    async def test_a_snapshot_without_an_identity_is_compared_by_endpoint(
        self, kube, client, snapshot
    ):
        nameless = msgspec.structs.replace(
            snapshot, header=msgspec.structs.replace(snapshot.header, cluster="", endpoint="else")
        )
        async with consuming(client, CONFIG, nameless) as one:
            await agree(one, kube)
            assert "another API server" in one.source.snapshot_refused
        assert isinstance(nameless.header, Header)


class TestCost:
    @pytest.mark.parametrize("watch_list", ["on", "invalid"])
    async def test_a_relist_needs_little_memory_beyond_the_steady_state(self, watch_list, tmp_path):
        """Peak under 1.3 times the steady state, by the allocator's own count.

        Through a pipeline, as in serve, and with nothing held by the test. The API server is
        another process, so that what it needs is not counted. What a relist takes beyond what
        is known hardly grows with the cluster: buffers, a page of each kind, names.
        """
        words = ["-m", "tests.fakekube", "--services", "6000", "--watch-list", watch_list]
        pipe = subprocess.PIPE
        api = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdin=pipe, stdout=pipe, cwd=ROOT
        )
        client = await connect(Access((await api.stdout.readline()).decode().strip()), QUICK)
        pipeline = Pipeline(SchemaConfig(zones=(name_from_text("cluster.local."),)), 1)
        source = KubernetesSource(client, KubernetesConfig(reconcile_every=0.0))

        def publish(batch: Batch) -> None:
            pipeline.feed(batch, 0.0)
            pipeline.zone.compact()

        tracemalloc.start()
        running = asyncio.create_task(source.run(publish))
        try:
            base, _ = tracemalloc.get_traced_memory()
            await eventually(lambda: source.synced, deadline=90)  # counting takes its time
            for _ in pipeline.zone.compact_all():
                pass
            steady, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            api.stdin.write(b"relist\n")
            await eventually(lambda: all(one.relists for one in source.status()), deadline=90)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            running.cancel()
            await asyncio.wait({running})
            await client.close()
            api.terminate()
            await api.wait()
        assert steady - base > 8_000_000
        assert (peak - base) < 1.3 * (steady - base)

    def test_the_official_package_is_imported_only_with_a_client(self):
        code = (
            "import sys, dnsd.sources.kubernetes.source\n"
            "assert 'kubernetes' not in sys.modules, 'imported too early'"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    async def test_the_model_classes_are_never_imported(self, kube, tmp_path):
        path = tmp_path / "kubeconfig"
        path.write_text(kube.kubeconfig())
        code = (
            "import asyncio, sys\n"
            "from dnsd.sources.kubernetes.credentials import Access\n"
            "from dnsd.sources.kubernetes.client import connect\n"
            "async def main():\n"
            "    client = await connect(Access(sys.argv[1]))\n"
            "    await client.fetch('/version', dict)\n"
            "    await client.close()\n"
            "asyncio.run(main())\n"
            "found = [m for m in sys.modules if 'kubernetes' in m and '.models.' in m]\n"
            "assert len(found) < 5, found\n"
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path))
        assert await process.wait() == 0


async def test_statuses_hold_seconds_since_the_epoch(kube, client):
    """`/sources` reports these times."""
    began = time.time()
    async with consuming(client, CONFIG) as one:
        await agree(one, kube)
        status = one.status("services")
    assert began <= status.last_contact <= time.time()
    assert int(status.resource_version) > 0
    assert status.objects == 8
