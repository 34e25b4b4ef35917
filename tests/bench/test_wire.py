"""The DNS client of the bench: one query at a time, checked against its question."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from bench import wire
from bench.names import Question
from bench.procs import LOOPBACK, BenchError

HIT = Question("web.example", "A", "NOERROR", "192.0.2.1")
MISSING = Question("missing.example", "A", "NXDOMAIN")

Answer = Callable[[bytes, int], list[bytes]]


def reply_to(packet: bytes, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, *data: str) -> bytes:
    """A reply with A records."""
    query = dns.message.from_wire(packet)
    reply = dns.message.make_response(query)
    reply.set_rcode(rcode)
    if data:
        reply.answer = [dns.rrset.from_text(query.question[0].name, 5, "IN", "A", *data)]
    return reply.to_wire()


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """The port of a server that sends the datagrams of `answer(packet, number)`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))

        def run() -> None:
            number = 0
            while (message := sock.recvfrom(4096))[0]:
                for packet in answer(message[0], number):
                    sock.sendto(packet, message[1])
                number += 1

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", sock.getsockname())
            thread.join()


def test_a_late_reply_to_an_earlier_query_is_ignored() -> None:
    def answer(packet: bytes, number: int) -> list[bytes]:
        late = bytes((packet[0] ^ 1,)) + packet[1:]
        return [reply_to(late, dns.rcode.REFUSED), reply_to(packet, dns.rcode.NOERROR, "192.0.2.1")]

    with server(answer) as port, wire.Client(port) as client:
        reply = client.query(wire.query_packet(HIT.name, HIT.type), 20)
    assert wire.is_correct(reply, HIT)


def test_no_reply_and_no_listener_give_none() -> None:
    packet = wire.query_packet(HIT.name, HIT.type)
    with server(lambda packet, number: []) as port, wire.Client(port) as client:
        assert client.exchange(packet, 0.02) is None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        port = sock.getsockname()[1]
    with wire.Client(port) as client:
        assert client.exchange(packet, 20) is None


def test_a_reply_that_is_not_a_dns_message_is_an_error() -> None:
    with (
        server(lambda packet, number: [packet[:2] + b"?"]) as port,
        wire.Client(port) as client,
        pytest.raises(BenchError, match="not a DNS message"),
    ):
        client.query(wire.query_packet(HIT.name, HIT.type), 20)


@pytest.mark.parametrize(
    ("reply", "question", "correct"),
    [
        (wire.Reply("NOERROR", ("192.0.2.1", "192.0.2.9"), 60), HIT, True),
        (wire.Reply("NOERROR", ("192.0.2.9", "192.0.2.1"), 60), HIT, False),
        (wire.Reply("NOERROR", (), 40), HIT, False),
        (wire.Reply("SERVFAIL", ("192.0.2.1",), 60), HIT, False),
        (wire.Reply("NXDOMAIN", (), 40), MISSING, True),
        (wire.Reply("NXDOMAIN", ("192.0.2.1",), 60), MISSING, False),
        (None, HIT, False),
    ],
)
def test_a_correct_reply_has_the_response_code_and_the_first_record(
    reply: wire.Reply | None, question: Question, correct: bool
) -> None:
    assert wire.is_correct(reply, question) is correct


def test_a_check_names_the_first_wrong_answer() -> None:
    with (
        server(lambda packet, number: [reply_to(packet, dns.rcode.NXDOMAIN)]) as port,
        pytest.raises(
            BenchError, match=r"NSD: web\.example A: expected NOERROR 192\.0\.2\.1, got Re"
        ),
    ):
        wire.check("NSD", port, [MISSING, HIT])


def test_servfail_does_not_end_the_wait_for_the_correct_answer() -> None:
    def answer(packet: bytes, number: int) -> list[bytes]:
        if number < 3:
            return [reply_to(packet, dns.rcode.SERVFAIL)]
        return [reply_to(packet, dns.rcode.NOERROR, "192.0.2.1")]

    with server(answer) as port:
        assert wire.wait_until_correct(port, HIT, lambda: True, 20) is not None


def test_the_end_of_the_server_ends_the_wait() -> None:
    with server(lambda packet, number: []) as port:
        assert wire.wait_until_correct(port, HIT, lambda: False, 20) is None
