"""The control plane with real workers, and with batches that the test publishes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import dns.asyncquery
import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest

from dnsd.cluster.objects import Key, Pod, Service
from dnsd.control.settings import Settings
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text
from dnsd.dns.types import Type
from dnsd.settings.schema import SettingsError
from dnsd.sources.source import Batch
from dnsd.worker.supervisor import WorkersFailed
from dnsd.zone.frame import FRESH, NOT_READY, STALE
from dnsd.zone.merge import APEX_KEY
from dnsd.zone.settings import PolicyRule, ViewConfig
from tests.control.planes import HOST, NAME, plane, publish, query, summary, web
from tests.helpers import eventually
from tests.serving import alive


class TestStates:
    async def test_before_the_source_is_synced_every_answer_is_servfail(self) -> None:
        async with plane() as it:
            assert summary(await query(it)) == ("SERVFAIL", [], [14])
            publish(it, web("10.96.0.1"))
            assert summary(await query(it)) == ("SERVFAIL", [], [14])
            publish(it, synced=True)
            await it.supervisor.caught_up()
            assert summary(await query(it)) == ("NOERROR", ["10.96.0.1"], [])
            reply = await query(it, "none.default.svc.cluster.local")
            assert summary(reply) == ("NXDOMAIN", [], [])

    async def test_changes_while_not_ready_are_answered_once_the_source_is_fresh(
        self,
    ) -> None:
        async with plane() as it:
            publish(it, web("10.96.0.1"), synced=True)
            it.publish(Batch(stale=True))
            await it.supervisor.caught_up()
            assert summary(await query(it)) == ("NOERROR", ["10.96.0.1"], [3])
            publish(it, web("10.96.0.2"))  # the source is not synced any more
            await it.supervisor.caught_up()
            assert summary(await query(it)) == ("SERVFAIL", [], [14])
            publish(it, synced=True)
            await it.supervisor.caught_up()
            assert summary(await query(it)) == ("NOERROR", ["10.96.0.2"], [])

    async def test_no_name_is_compiled_before_the_source_is_synced(self) -> None:
        async with plane() as it:
            publish(it, *(Service("default", f"web-{n}") for n in range(100)))
            frames = list(it.table())
            assert sum(map(len, frames)) < 500
            publish(it, synced=True)
            assert sum(map(len, it.table())) > 500


class TestChanges:
    async def test_a_batch_is_one_step_of_the_workers(self) -> None:
        async with plane() as it:
            publish(it, web("10.96.0.1"), synced=True)
            await it.supervisor.caught_up()
            times: list[float] = []
            it.supervisor.on_applied.append(lambda at, now: times.append(now - at))
            others = [Service("default", f"s{n}", cluster_ips=(bytes(4),)) for n in range(50)]
            publish(it, *others, Key("Service", "default", "web"), synced=True)
            await it.supervisor.caught_up()
            assert len(times) == 1
            assert summary(await query(it))[0] == "NXDOMAIN"

    async def test_without_the_frame_of_a_change_the_workers_get_the_whole_table(self) -> None:
        async with plane() as it:
            publish(it, web("10.96.0.1"), synced=True)

            def fail(_: object) -> None:
                raise RuntimeError("a bug in an observer of the zone")

            observers = it.pipeline.on_change.copy()
            it.pipeline.on_change[:] = [fail]  # instead of the one that compiles the frame
            publish(it, web("10.96.0.2"), synced=True)
            it.pipeline.on_change[:] = observers

            async def is_answered() -> bool:
                return summary(await query(it))[1] == ["10.96.0.2"]

            await eventually(is_answered)

    async def test_observers_get_a_change_after_its_frames_are_sent(self) -> None:
        """An observer blocks the control process, and the change is answered meanwhile."""
        async with plane() as it:
            publish(it, web("10.96.0.1"), synced=True)
            await it.supervisor.caught_up()
            answers: list[list[str]] = []

            def fail(_: object) -> None:
                raise RuntimeError("a bug in an observer")

            def wait(_: object) -> None:
                packet, end = dns.message.make_query(NAME, "A"), time.monotonic() + 10
                answer: list[str] = []
                while answer != ["10.96.0.2"] and time.monotonic() < end:
                    port = it.addresses[0].port
                    answer = summary(dns.query.udp(packet, HOST, 10, port))[1]
                answers.append(answer)

            it.on_answered += [fail, wait]
            publish(it, web("10.96.0.2"), synced=True)
            assert answers == [["10.96.0.2"]]

    async def test_the_journal_begins_when_the_source_is_synced(self) -> None:
        async with plane() as it:
            publish(it, web("10.96.0.1"))
            publish(it, synced=True)
            assert len(it.journal) == 0
            publish(it, web("10.96.0.2"), synced=True)
            assert len(it.journal) == 1


class TestLargeBatches:
    """A batch that takes longer than a step of the event loop."""

    SERVICES = tuple(
        Service("default", f"s{n}", cluster_ips=((10 << 24 | n).to_bytes(4, "big"),))
        for n in range(3000)
    )

    async def test_the_event_loop_goes_on_during_a_large_batch(self) -> None:
        async with plane() as it:
            publish(it, web("10.96.0.1"), synced=True)
            publish(it, *self.SERVICES, synced=True)
            names = len(it.pipeline.zone)
            await asyncio.sleep(0)
            assert names < len(it.pipeline.zone) < len(self.SERVICES)
            await eventually(lambda: len(it.pipeline.zone) > len(self.SERVICES))

    async def test_batches_are_applied_in_the_order_in_which_they_are_published(self) -> None:
        async with plane() as it:
            publish(it, *self.SERVICES, web("10.96.0.1"), synced=True)
            publish(it, web("10.96.0.2"), *(one.key for one in self.SERVICES), synced=True)
            publish(it, web("10.96.0.3"), synced=True)

            async def is_answered() -> bool:
                return summary(await query(it))[1] == ["10.96.0.3"]

            await eventually(is_answered)
            assert it.pipeline.state.counts()["Service"] == 1

    async def test_until_its_end_the_claim_is_the_worse_one(self) -> None:
        async with plane() as it:
            publish(it, *self.SERVICES, synced=True)
            assert it.state == NOT_READY
            assert not it.synced.is_set()
            await it.synced.wait()
            assert it.state == FRESH
            it.publish(Batch(tuple(one.key for one in self.SERVICES), stale=True))
            assert it.state == STALE
            assert len(it.pipeline.zone) > 1000
            publish(it, synced=True)
            await eventually(lambda: it.state == FRESH)
            assert len(it.pipeline.zone) < 1000

    async def test_a_change_during_a_reconfiguration_is_served_by_both_configurations(self) -> None:
        async with plane() as it:
            publish(it, *self.SERVICES, web("10.96.0.1"), synced=True)
            await it.synced.wait()
            reconfiguring = asyncio.create_task(it.reconfigure(Settings.of(ttl=77)))
            await asyncio.sleep(0)
            publish(it, web("10.96.0.2"), synced=True)
            assert it.pipeline.zone.config.ttl == 5
            found = it.pipeline.zone.rrset(name_from_text(f"{NAME}."), Type.A)
            assert found is not None
            assert found.rdatas == (pack_address("10.96.0.2"),)
            await reconfiguring
            await it.supervisor.caught_up()
            reply = await query(it)
            assert reply.answer[0].ttl == 77
            assert summary(reply)[1] == ["10.96.0.2"]

    async def test_the_own_service_may_change_during_a_reconfiguration(self) -> None:
        settings = Settings.of(ns_service="default/web")
        async with plane(settings) as it:
            publish(it, *self.SERVICES, web("10.96.0.1"), synced=True)
            await it.synced.wait()
            reconfiguring = asyncio.create_task(it.reconfigure(settings.updated(ttl=77)))
            await asyncio.sleep(0)
            publish(it, web("10.96.0.2"), synced=True)
            await reconfiguring
            await it.supervisor.caught_up()
            assert summary(await query(it, "ns.dns.cluster.local"))[1] == ["10.96.0.2"]


async def test_workers_that_end_during_their_load_have_every_change_at_the_end() -> None:
    """Four workers with views. One is killed during a load, one does not read during it."""
    policies = (PolicyRule((), (f"{HOST}/32",), ("default",)),)
    settings = Settings(views=ViewConfig(policies=policies))
    services = TestLargeBatches.SERVICES
    async with plane(settings, workers=4) as it:
        publish(it, *services, web("10.96.0.1"), synced=True)
        await it.synced.wait()
        killed, stopped, *_ = [worker.pid for worker in it.supervisor.status()]
        os.kill(stopped, signal.SIGSTOP)
        publish(it, web("10.96.0.2"), *(service.key for service in services[::2]), synced=True)
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: not alive(killed))
        publish(it, web("10.96.0.3"), Service("default", "late"), synced=True)
        os.kill(stopped, signal.SIGCONT)
        await it.supervisor.opened()
        publish(it, web("10.96.0.4"), synced=True)
        await eventually(lambda: len(it.pipeline.zone) < 2 * len(services))
        await it.supervisor.caught_up()
        for _ in range(20):  # from 20 ports, so all workers answer
            assert summary(await query(it))[1] == ["10.96.0.4"]
            assert summary(await query(it, "s0.default.svc.cluster.local"))[0] == "NXDOMAIN"
            assert summary(await query(it, "s1.default.svc.cluster.local"))[1] == ["10.0.0.1"]


class TestOwnService:
    """`ns_service`: ns.dns.ZONE has the addresses of the Service as long as the Service exists."""

    async def test_the_name_server_has_the_addresses_of_the_service(self) -> None:
        async with plane(Settings.of(ns_service="default/web")) as it:

            async def is_at(address: str) -> None:
                async def answered() -> bool:
                    return summary(await query(it, "ns.dns.cluster.local"))[1] == [address]

                await eventually(answered, f"ns.dns is at {address}")

            publish(it, synced=True)
            await is_at(HOST)
            publish(it, web("10.96.0.1"), synced=True)
            await is_at("10.96.0.1")
            publish(it, web("10.96.0.2"), synced=True)
            await is_at("10.96.0.2")
            change = next(it.journal.latest())
            assert change.contributor == APEX_KEY
            assert change.cause.key == Key("Service", "default", "web")
            assert abs(change.cause.at - time.time()) < 60
            await it.reconfigure(Settings.of(ns_service="default/web", ttl=7))
            await is_at("10.96.0.2")
            given = (pack_address("10.0.0.1"),)
            await it.reconfigure(Settings.of(ns_service="default/web", ns_addresses=given))
            await is_at("10.0.0.1")
            publish(it, web("10.96.0.3"), synced=True)
            await is_at("10.0.0.1")
            await it.reconfigure(Settings.of(ns_service="default/web"))
            await is_at("10.96.0.3")
            publish(it, Service("default", "web", headless=True), synced=True)
            await is_at(HOST)
            publish(it, web("10.96.0.3"), synced=True)
            await is_at("10.96.0.3")
            publish(it, Key("Service", "default", "web"), synced=True)
            await is_at(HOST)

    async def test_another_service_changes_nothing(self) -> None:
        async with plane(Settings.of(ns_service="kube-system/web")) as it:
            publish(it, web("10.96.0.1"), synced=True)
            serial = it.pipeline.zone.serial
            publish(it, web("10.96.0.1"), synced=True)
            assert it.pipeline.zone.serial == serial

            async def is_here() -> bool:
                return summary(await query(it, "ns.dns.cluster.local"))[1] == [HOST]

            await eventually(is_here)


class TestReconfigure:
    async def test_settings_that_no_worker_starts_with_change_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with plane() as it:
            publish(it, web("10.96.0.1"), synced=True)
            await it.supervisor.caught_up()
            before, zone, workers = it.settings, it.pipeline.zone, it.supervisor.status()
            pinned = "pinned.default.svc.cluster.local"
            new = Settings.of(
                ttl=77,
                version_text="new",
                hosts={name_from_text(pinned): (pack_address("10.1.1.1"),)},
            )
            with monkeypatch.context() as patch:
                patch.setenv("PYTHONHOME", "/nonexistent")  # no interpreter starts with that
                with pytest.raises(WorkersFailed):
                    await it.reconfigure(new)
            assert it.settings is before
            assert it.pipeline.zone is zone
            assert [one.pid for one in it.supervisor.status()] == [one.pid for one in workers]
            assert (await query(it)).answer[0].ttl == 5
            assert summary(await query(it, pinned))[0] == "NXDOMAIN"
            await it.reconfigure(new)
            await it.supervisor.caught_up()
            assert (await query(it)).answer[0].ttl == 77
            assert summary(await query(it, pinned)) == ("NOERROR", ["10.1.1.1"], [])

    async def test_settings_that_cannot_be_used_change_nothing(self, tmp_path: Path) -> None:
        junk = tmp_path / "ca.pem"
        junk.write_text("junk")
        async with plane() as it:
            publish(it, web("10.96.0.1"), synced=True)
            before, zone = it.settings, it.pipeline.zone
            with pytest.raises(SettingsError):
                await it.reconfigure(
                    Settings.of(ttl=77, upstream=("tls://192.0.2.1",), upstream_tls_ca=str(junk))
                )
            assert it.settings is before
            assert it.pipeline.zone is zone

    async def test_pods_are_sent_to_workers_when_search_completion_is_turned_on(self) -> None:
        settings = Settings.of(pods="verified", upstream=("udp://127.0.0.1:1",))
        async with plane(settings) as it:
            publish(it, Pod("default", "here", (pack_address(HOST),), "Running"), web("10.96.0.1"))
            publish(it, synced=True)
            await it.supervisor.caught_up()
            name = "web.default.default.svc.cluster.local"  # the first of its search list
            assert summary(await query(it, name))[0] == "NXDOMAIN"
            await it.reconfigure(settings.updated(search_completion=True))
            await it.supervisor.caught_up()
            assert "10.96.0.1" in summary(await query(it, name))[1]
