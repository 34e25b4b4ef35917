"""Listeners: bounded queues, bounded numbers of streams, and heartbeats."""

from __future__ import annotations

import pytest

from dnsd.admin.listeners import Listener, Listeners, TooManyListeners


async def test_a_listener_gets_all_waiting_items_at_once() -> None:
    listener: Listener[int] = Listener(10)
    for item in range(3):
        listener.offer(item)
    assert await listener.next(20.0) == [0, 1, 2]


async def test_without_items_next_returns_nothing_after_its_time() -> None:
    assert await Listener[int](10).next(0.01) == []


def test_a_full_queue_loses_items_and_counts_them() -> None:
    listener: Listener[int] = Listener(1000)
    for item in range(1500):
        listener.offer(item)
    assert listener.lost == 500
    assert len(listener.waiting()) == 1000


def test_streams_beyond_the_limit_are_refused_until_one_ends() -> None:
    listeners: Listeners[Listener[int]] = Listeners(1)
    with listeners.added(Listener(1)):
        with pytest.raises(TooManyListeners), listeners.added(Listener(1)):
            pass
        assert len(listeners) == 1
    with listeners.added(Listener(1)):
        assert len(listeners) == 1
    assert list(listeners) == []
