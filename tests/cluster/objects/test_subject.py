"""A subject is identified by its contributor."""

from __future__ import annotations

from dnsd.cluster.objects import Key, Route, RouteSubject, Service, ServiceSubject


def test_the_key_of_a_subject_is_the_key_of_its_contributor() -> None:
    assert ServiceSubject(Service("d", "a")).key == Key("Service", "d", "a")
    assert RouteSubject(Route("TLSRoute", "d", "a")).key == Key("TLSRoute", "d", "a")
