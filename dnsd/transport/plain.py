"""One datagram per system call: recvmsg and sendmsg, for platforms without recvmmsg.

In `transport/` (data plane: sockets). Change here: the fallback for mmsg.py.

The slots are those of mmsg.py, filled and answered one by one. Callers notice only the cost, about
1.5 us more per query.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from dnsd.transport.mmsg import MAX_PACKET, ONE_DATAGRAM, SLOTS, STRIDE
from dnsd.transport.peer import Peer, peer_from

_ANCILLARY = 128  # bytes: room for one address and its header


class Plain:
    """The slots of one UDP socket. `receive` fills them, `send` answers them. See Mmsg."""

    __slots__ = ("_ancillary", "_packets", "_peers", "_socket", "errors")

    def __init__(self, sock: socket.socket, *, source_addresses: bool = False) -> None:
        """Slots for `sock`, which must be non-blocking."""
        self.errors = 0
        self._socket = sock
        self._ancillary = _ANCILLARY if source_addresses else 0
        self._packets: list[bytes] = []
        self._peers: list[Peer] = []

    def receive(self) -> int:
        """Fill the slots with queued packets; the number filled, 0 when none is queued."""
        self._packets, self._peers = [], []
        receive, family = self._socket.recvmsg, self._socket.family
        try:
            while len(self._packets) < SLOTS:
                packet, ancillary, _, address = receive(MAX_PACKET, self._ancillary)
                self._peers.append(peer_from(family, address, ancillary))
                self._packets.append(packet)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.errors += 1
        return len(self._packets)

    def lengths(self, n: int) -> list[int]:
        """The lengths of the first n packets, in bytes; at most MAX_PACKET."""
        return [len(packet) for packet in self._packets[:n]]

    def blob(self, n: int) -> bytes:
        """The first STRIDE bytes of each of the first n packets; n * STRIDE bytes."""
        return b"".join([packet[:STRIDE].ljust(STRIDE, b"\0") for packet in self._packets[:n]])

    def packet(self, i: int, length: int) -> bytes:
        """All `length` bytes of packet i."""
        return self._packets[i][:length]

    def clients(self, n: int) -> list[bytes]:
        """The packed addresses (4 or 16 bytes) that the first n packets came from."""
        return [peer.packed for peer in self._peers[:n]]

    def peer(self, i: int) -> Peer:
        """Where packet i came from, and to which address of this host it was sent."""
        return self._peers[i]

    def send(self, outcomes: Sequence[object]) -> int:
        """Send the outcomes that are `bytes` to their slots, in order; the number sent."""
        sent = 0
        for i, outcome in enumerate(outcomes):
            if not isinstance(outcome, bytes):
                continue
            peer = self._peers[i]
            try:
                self._socket.sendmsg((outcome,), peer.ancillary, 0, peer.address)
                sent += 1
            except OSError as error:
                if error.errno not in ONE_DATAGRAM:
                    self.errors += sum(isinstance(later, bytes) for later in outcomes[i:])
                    break
                self.errors += 1
        return sent
