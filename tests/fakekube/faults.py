"""Faults of an API server.

A `Fault` applies to the next matching requests, `times` times.
"""

from __future__ import annotations

from msgspec import Struct


class Fault(Struct):
    """One fault: the requests it applies to, and how often.

    `plural` and `verb` (`list`, `watch`, `get`, `create`) select requests; empty: all.
    `times` -1: always.
    """

    what: str  # status, error, close, cut, silence, split, drip
    plural: str = ""
    verb: str = ""
    times: int = 1
    code: int = 0
    reason: str = ""
    message: str = ""
    retry_after: str = ""
    after: int = 0  # cut, drip: this many bytes are sent properly first
    size: int = 0  # split, drip: bytes a piece
    pause: float = 0.0  # drip: seconds between pieces; silence of a get: its length, 0: without end


def status(
    code: int, *, plural: str = "", verb: str = "", times: int = 1, retry_after: str = ""
) -> Fault:
    """An HTTP status with a Status object: 429, 500, 410 ..."""
    reason, message = {
        400: ("BadRequest", "the server does not like the request"),
        410: ("Expired", "The resourceVersion for the provided list is too old."),
        422: ("Invalid", "sendInitialEvents: Forbidden: the WatchList feature gate is disabled"),
        429: ("TooManyRequests", "too many requests, please try again later"),
        500: ("InternalError", "an error on the server"),
        503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    }.get(code, ("", "refused"))
    return Fault("status", plural, verb, times, code, reason, message, retry_after)


def error(code: int, *, plural: str = "", times: int = 1) -> Fault:
    """A watch with status 200 and then an ERROR event."""
    reason = {410: "Expired", 500: "InternalError"}.get(code, "")
    return Fault("error", plural, "watch", times, code, reason, "too old resource version: 1 (2)")


def close(*, plural: str = "", times: int = 1) -> Fault:
    """A watch with status 200 that ends at once."""
    return Fault("close", plural, "watch", times)


def cut(after: int, *, plural: str = "", verb: str = "", times: int = 1) -> Fault:
    """The connection breaks after `after` bytes of the body, in the middle of a line."""
    return Fault("cut", plural, verb, times, after=after)


def silence(*, plural: str = "", verb: str = "watch", times: int = 1) -> Fault:
    """A watch with status 200 and then nothing, without end; a `get` without any answer."""
    return Fault("silence", plural, verb, times)


def split(size: int, *, plural: str = "", times: int = -1) -> Fault:
    """Bodies in pieces of `size` bytes."""
    return Fault("split", plural, "", times, size=size)


def drip(size: int, pause: float, *, after: int = 0, plural: str = "", times: int = 1) -> Fault:
    """From byte `after` on, `size` bytes every `pause` seconds."""
    return Fault("drip", plural, "watch", times, after=after, size=size, pause=pause)


def applies(fault: Fault, plural: str, verb: str) -> bool:
    """Whether a fault applies to a request."""
    return fault.plural in ("", plural) and fault.verb in ("", verb) and fault.times != 0


def take(faults: list[Fault], plural: str, verb: str) -> Fault | None:
    """The first fault that applies; one of its times is used."""
    for fault in faults:
        if applies(fault, plural, verb):
            fault.times -= fault.times > 0
            if fault.times == 0:
                faults.remove(fault)
            return fault
    return None
