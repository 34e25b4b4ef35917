"""The supervisor with real workers: changes, replacement, renewal, and drain."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from msgspec.structs import replace

from dnsd.answer.settings import EngineConfig
from dnsd.worker import counters
from dnsd.worker.process import Timeouts
from dnsd.worker.supervisor import WorkersFailed
from dnsd.zone.compile import NODES_PER_FRAME
from tests.helpers import DEADLINE, eventually
from tests.serving import alive
from tests.worker.data_plane import HOST, SETUP, WEB, Plane, answering


class TestChanges:
    @pytest.mark.parametrize("uvloop", [False, True])
    async def test_a_change_is_answered_everywhere(self, uvloop: bool) -> None:
        async with answering(2, replace(SETUP, uvloop=uvloop)) as plane:
            applied: list[tuple[float, float]] = []
            plane.supervisor.on_applied.append(lambda at, now: applied.append((at, now)))
            assert await plane.ask() == ["10.0.0.1"]
            assert await plane.ask(tcp=True) == ["10.0.0.1"]
            plane.change("10.0.0.2")
            await eventually(lambda: applied)
            for _ in range(10):  # from ten ports, so both workers answer
                assert await plane.ask() == ["10.0.0.2"]
            ((at, now),) = applied
            assert at < now

    async def test_a_zone_that_changes_during_the_table_load_is_answered_as_it_is(self) -> None:
        plane = Plane()
        for number in range(5000):
            plane.put("10.1.0.1", f"s{number}.default.svc.cluster.local.")
        plane.supervisor.start()
        try:
            plane.supervisor.release()
            for number in range(100):
                plane.change(f"10.0.1.{number}", f"s{number}.default.svc.cluster.local.")
                await asyncio.sleep(0)
            await plane.supervisor.opened()
            for number in (0, 50, 99):
                name, address = f"s{number}.default.svc.cluster.local.", f"10.0.1.{number}"
                await eventually(partial(plane.answers, name, address))
            assert await plane.ask("s4999.default.svc.cluster.local.") == ["10.1.0.1"]
        finally:
            await plane.supervisor.stop()

    async def test_a_table_is_compiled_once_for_all_workers(self) -> None:
        plane = CountedTable(workers=3)
        plane.supervisor.start()
        try:
            plane.supervisor.release()
            await plane.supervisor.opened()
            assert plane.tables == 1
            await plane.supervisor.renew(replace(SETUP, engine=EngineConfig(version_text="new")))
            assert plane.tables == 2
        finally:
            await plane.supervisor.stop()

    async def test_a_step_of_the_loop_compiles_one_frame_also_when_the_zone_changes(self) -> None:
        plane = CountedTable(workers=2)
        for number in range(5 * NODES_PER_FRAME):
            plane.put("10.1.0.1", f"s{number}.default.svc.cluster.local.")
        plane.supervisor.start()
        try:
            counting = asyncio.create_task(plane.count_steps())
            plane.supervisor.release()
            while plane.supervisor.status()[0].state != "open":
                plane.change(f"10.0.1.{plane.step % 250}")
                await asyncio.sleep(0)
            await plane.supervisor.opened()
            counting.cancel()
            assert len(plane.frames_in_step) > 5
            assert max(plane.frames_in_step.values()) == 1
        finally:
            await plane.supervisor.stop()

    async def test_a_worker_whose_table_cannot_be_compiled_is_replaced(self) -> None:
        plane = FailsOnce()
        plane.supervisor.start()
        try:
            plane.supervisor.release()
            await plane.supervisor.opened()
            (status,) = plane.supervisor.status()
            assert status.last_end == "its table could not be compiled"
            assert await plane.ask() == ["10.0.0.1"]
        finally:
            await plane.supervisor.stop()

    async def test_caught_up_does_not_wait_for_changes_after_the_call(self) -> None:
        async with answering() as plane:
            changes = itertools.count()

            def change_again(*_: float) -> None:
                plane.change(f"10.0.2.{next(changes) % 250}")

            plane.supervisor.on_applied.append(change_again)
            change_again()
            async with asyncio.timeout(DEADLINE):
                await plane.supervisor.caught_up()
            plane.supervisor.on_applied.clear()

    async def test_a_reload_replaces_the_whole_table(self) -> None:
        async with answering() as plane:
            former, plane.zone = plane.zone, Plane().zone
            plane.zone.serial = former.serial + 1
            plane.put("10.0.0.9", "other.default.svc.cluster.local.")
            plane.supervisor.reload(0.0)
            await eventually(lambda: plane.ask("other.default.svc.cluster.local."))
            assert await plane.ask() == ["10.0.0.1"]


class TestEnds:
    async def test_a_killed_worker_is_replaced_and_its_counters_stay(self) -> None:
        async with answering() as plane:
            for _ in range(5):
                await plane.ask()
            answers = counters.names().index("queries.udp.A.answer")
            await eventually(lambda: plane.supervisor.counters()[answers] == 5)
            (former,) = plane.pids()
            os.kill(former, signal.SIGKILL)
            assert await plane.ask() == ["10.0.0.1"]
            (status,) = plane.supervisor.status()
            assert (status.restarts, status.last_end) == (1, "it was ended by SIGKILL")
            assert status.pid != former
            await eventually(lambda: plane.supervisor.counters()[answers] == 6)

    async def test_a_worker_that_is_killed_repeatedly_is_replaced_each_time(self) -> None:
        async with answering() as plane:
            for times in range(1, 6):
                os.kill(plane.pids()[0], signal.SIGKILL)
                await eventually(
                    partial(lambda n: plane.supervisor.status()[0].restarts == n, times)
                )
                assert await plane.ask() == ["10.0.0.1"]
                await plane.supervisor.opened()

    async def test_a_worker_without_heartbeat_is_ended_and_replaced(self) -> None:
        async with answering(timeouts=Timeouts(silence=2.5)) as plane:
            (former,) = plane.pids()
            os.kill(former, signal.SIGSTOP)
            await eventually(lambda: not alive(former))
            assert await plane.ask() == ["10.0.0.1"]
            (status,) = plane.supervisor.status()
            assert status.last_end == "it sent no heartbeat"

    async def test_a_worker_that_does_not_read_its_changes_is_ended(self) -> None:
        async with answering(timeouts=Timeouts(backlog=100_000)) as plane:
            (former,) = plane.pids()
            os.kill(former, signal.SIGSTOP)

            def pile_up() -> bool:
                for number in range(100):
                    plane.change(f"10.2.0.{number}")
                return not alive(former)

            await eventually(pile_up)
            await eventually(partial(plane.answers, WEB, "10.2.0.99"))
            (status,) = plane.supervisor.status()
            assert status.last_end == "it did not read its changes"

    async def test_a_start_fails_with_the_reason_when_workers_cannot_start(self) -> None:
        plane = Plane(setup=replace(SETUP, engine=EngineConfig(allow_query=("nonsense",))))
        plane.supervisor.start()
        try:
            plane.supervisor.release()
            with pytest.raises(
                WorkersFailed, match=r"it exited with code 1: ValueError: 'nonsense'"
            ):
                await plane.supervisor.opened()
            (status,) = plane.supervisor.status()
            assert status.restarts >= 2
        finally:
            await plane.supervisor.stop()


class TestRenew:
    async def test_successors_take_over_and_no_query_is_lost(self) -> None:
        async with answering() as plane:
            (former,) = plane.pids()
            done = asyncio.Event()

            async def keep_asking() -> int:
                count = 0
                while not done.is_set():
                    assert await plane.ask() == ["10.0.0.1"]  # each answered, none repeated
                    count += 1
                return count

            asking = asyncio.create_task(keep_asking())
            renewed = replace(SETUP, engine=EngineConfig(version_text="second"))
            await plane.supervisor.renew(renewed)
            await eventually(lambda: not alive(former))
            assert await plane.version() == "second"
            done.set()
            assert await asking > 0
            (status,) = plane.supervisor.status()
            assert status.restarts == 0

    async def test_when_successors_do_not_start_the_former_workers_stay(self) -> None:
        async with answering() as plane:
            before = plane.pids()
            bad = replace(SETUP, engine=EngineConfig(allow_query=("nonsense",)))
            with pytest.raises(WorkersFailed):
                await plane.supervisor.renew(bad)
            assert plane.pids() == before
            assert await plane.version() == "first"
            plane.change("10.0.0.5")
            await eventually(partial(plane.answers, WEB, "10.0.0.5"))
            os.kill(before[0], signal.SIGKILL)  # and their replacements are of the old kind
            assert await plane.version() == "first"
            assert await plane.ask() == ["10.0.0.5"]

    async def test_all_workers_are_renewed_or_none(self) -> None:
        plane = SecondDies(2)
        plane.supervisor.start()
        try:
            plane.supervisor.release()
            await plane.supervisor.opened()
            before = plane.pids()
            second = replace(SETUP, engine=EngineConfig(version_text="second"))
            with pytest.raises(WorkersFailed, match="SIGKILL"):
                await plane.supervisor.renew(second)
            assert plane.pids() == before
            await eventually(
                lambda: [len(slot.workers) for slot in plane.supervisor.slots] == [1, 1]
            )
            for _ in range(10):  # from ten ports, so both workers answer
                assert await plane.version() == "first"
            assert [status.restarts for status in plane.supervisor.status()] == [0, 0]
        finally:
            await plane.supervisor.stop()


class CountedTable(Plane):
    """Counts the tables, and the frames that one step of the event loop takes."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.tables = self.step = 0
        self.frames_in_step: Counter[int] = Counter()

    def table(self) -> Iterator[bytes]:
        self.tables += 1
        for frame in super().table():
            self.frames_in_step[self.step] += 1
            yield frame

    async def count_steps(self) -> None:
        while True:
            self.step += 1
            await asyncio.sleep(0)


class FailsOnce(Plane):
    """The first table cannot be compiled."""

    failed = False

    def table(self) -> Iterator[bytes]:
        if not self.failed:
            self.failed = True
            raise RuntimeError("a bug in the compiler")
        yield from super().table()


class SecondDies(Plane):
    """The successor in the second slot is killed before it has a table."""

    def table(self) -> Iterator[bytes]:
        links = self.supervisor.slots[1].workers
        if len(links) > 1:
            os.kill(links[-1].process.pid, signal.SIGKILL)
        return super().table()


class TestDrain:
    async def test_a_drain_closes_connections_and_processes_exit(self) -> None:
        async with answering(2) as plane:
            pids = plane.pids()
            reader, writer = await asyncio.open_connection(HOST, plane.port)
            await plane.supervisor.drain(0.01, 10.0)
            assert await reader.read() == b""
            writer.close()
            assert not any(map(alive, pids))

    async def test_a_worker_that_does_not_finish_is_ended(self) -> None:
        async with answering() as plane:
            pids = plane.pids()
            os.kill(pids[0], signal.SIGSTOP)
            await plane.supervisor.drain(0.01, 0.01)
            assert not any(map(alive, pids))

    async def test_a_stop_can_be_cancelled_and_repeated(self) -> None:
        """A second signal during a drain does that."""
        async with answering(2) as plane:
            pids = plane.pids()
            draining = asyncio.create_task(plane.supervisor.drain(0.01, 10.0))
            await eventually(lambda: not any(map(alive, pids)), "the workers have exited")
            draining.cancel()
            stopping = asyncio.create_task(plane.supervisor.stop())
            await asyncio.sleep(0)
            stopping.cancel()
            await plane.supervisor.stop()
            ends = [status.last_end for status in plane.supervisor.status()]
            assert ends == ["", ""]

    async def test_workers_can_be_stopped_before_they_answer(self) -> None:
        plane = Plane()
        plane.supervisor.start()
        await plane.supervisor.stop()
        assert all(status.pid == 0 or not alive(status.pid) for status in plane.supervisor.status())


async def test_a_worker_does_not_answer_before_open() -> None:
    """It has no table. Its packets wait in the socket."""
    plane = Plane()
    plane.supervisor.start()
    try:
        asking = asyncio.create_task(plane.ask(WEB))
        worker = plane.supervisor.slots[0].current
        assert worker
        await eventually(lambda: worker.heard_at > worker.started, "it runs")
        assert not asking.done()
        plane.supervisor.release()
        assert await asking == ["10.0.0.1"]
    finally:
        await plane.supervisor.stop()
