"""Many datagrams per system call: recvmmsg and sendmmsg through ctypes (Linux, 64 bit).

In `transport/` (data plane: sockets). Change here: the memory that is shared with the kernel.

Theory: the cost of a UDP server in Python is not in moving bytes but in making objects: one address
tuple, one bytes object, and one call per packet. So the kernel gets all of its memory once, and
Python touches it in bulk.

- One array of `mmsghdr` receives and one sends, each SLOTS long. Slot i of both points to the same
  peer address and the same control buffer: the reply in slot i goes to the peer of query i, and no
  code reads the address.
- Slot i of the receiving array has two pieces of memory. The first is STRIDE bytes of one
  contiguous buffer, so that one copy turns a whole batch into a single `bytes`. The second takes
  the rest of a longer packet, up to MAX_PACKET, and is rarely touched. The kernel cuts what is
  longer still; the length of such a packet cannot be trusted, and the reader of the slots drops
  it (no EDNS size that dnsd announces invites one).
- Fields that differ per packet (lengths, addresses of replies) are read and written through
  strided memoryviews, made once for every possible batch size: one call per batch.
- A batch of replies is joined into one `bytes`, and the slots point into it.
- Sent slot i answers received slot i. Only if a query gets no reply do the sending slots have to
  point to other peers; they are put back with the next full batch.

These must change together: the offsets below and the C structures of recvmmsg(2), msghdr in
recv(2), and in_pktinfo / in6_pktinfo in ip(7) / ipv6(7).

On a socket bound to a wildcard address, the kernel reports with each packet to which address of
the host it was sent (IP_PKTINFO, IPV6_PKTINFO). The same control message, sent with the reply,
makes the reply leave from there; a client drops a reply from another address. The interface index
is cleared first: the routing table chooses the route back.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, cast

from dnsd.transport.peer import Peer, peer_of

SLOTS = 64
STRIDE = 512  # bytes of a packet in the contiguous buffer; queries of RFC 1035 fit
MAX_PACKET = 4096

_MMSGHDR = 64  # sizeof(struct mmsghdr): a msghdr of 56 bytes, msg_len, padding
_IOVEC = 16
# Word offsets (8 bytes) within a mmsghdr.
_NAME, _NAMELEN, _IOV, _IOVLEN, _CONTROL, _CONTROLLEN = range(6)
_LEN32 = 14  # offset of msg_len, in 4-byte words
_CMSG_HEADER = 16  # sizeof(struct cmsghdr)
_NAME_STRIDE = 32  # room for a sockaddr_in6 (28 bytes), so that slots are found by shifting

# Errors of sendmmsg that concern one datagram (its address, its size, a firewall rule), so that
# the next one may succeed. After any other error the rest of the batch is dropped: the kernel has
# no memory or no room, and waiting would delay queries that can still be answered.
ONE_DATAGRAM = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EPERM,
        errno.EACCES,
        errno.EINVAL,
        errno.EMSGSIZE,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EDESTADDRREQ,
    }
)

# Errors of recvmmsg that mean that nothing is queued.
_NOTHING = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR})

_NO_INTERFACES = array("I", [0] * SLOTS)

# Without argtypes, and called with ctypes objects made in advance: a third cheaper per call.
_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg: Any = getattr(_libc, "recvmmsg", None)
_sendmmsg: Any = getattr(_libc, "sendmmsg", None)


def available() -> bool:
    """Whether this platform has recvmmsg and sendmmsg with the layout of this module."""
    return (
        sys.platform == "linux"
        and ctypes.sizeof(ctypes.c_void_p) == 8
        and _recvmmsg is not None
        and _sendmmsg is not None
    )


class _Memory:
    """Zeroed memory at a fixed address, which the kernel writes to; freed with this object."""

    __slots__ = ("_block", "address", "view")

    def __init__(self, size: int) -> None:
        self._block = (ctypes.c_uint64 * ((size + 7) // 8))()
        self.address = ctypes.addressof(self._block)
        self.view = memoryview(self._block).cast("B")

    def words(self) -> memoryview:
        """The same memory as unsigned 8-byte words."""
        return self.view.cast("Q")


class Mmsg:
    """The slots of one UDP socket. `receive` fills them, `send` answers them.

    Between one `receive` and the next, all methods concern the packets in the slots.
    """

    __slots__ = (
        "_bases",
        "_bytes_pointer",
        "_control",
        "_control_size",
        "_fd",
        "_first",
        "_interfaces",
        "_kept",
        "_long",
        "_moved",
        "_name_size",
        "_names",
        "_packets",
        "_pointer",
        "_receive_headers",
        "_receive_lengths",
        "_received_controls",
        "_reply_lengths",
        "_send_address",
        "_send_pointer",
        "_send_words",
        "_v6",
        "_whole_controls",
        "errors",
    )

    def __init__(self, sock: socket.socket, *, source_addresses: bool = False) -> None:
        """Slots for `sock`, which must be non-blocking.

        `source_addresses`: the socket delivers IP_PKTINFO or IPV6_PKTINFO, to be sent back.
        `errors` counts receive calls that failed and datagrams that could not be sent.
        """
        self.errors = 0
        self._fd = ctypes.c_int(sock.fileno())
        self._v6 = sock.family == socket.AF_INET6
        self._name_size = 28 if self._v6 else 16
        self._control_size = 0
        if source_addresses:
            self._control_size = socket.CMSG_SPACE(20 if self._v6 else 12)
        self._packets = _Memory(SLOTS * STRIDE)
        self._long = _Memory(SLOTS * (MAX_PACKET - STRIDE))
        self._names = _Memory(SLOTS * _NAME_STRIDE)
        self._control = _Memory(SLOTS * self._control_size)
        self._kept = [self._lay_out_receiving(), self._lay_out_sending()]
        self._lay_out_control()

    def _lay_out_receiving(self) -> tuple[_Memory, _Memory]:
        iov, headers = _Memory(SLOTS * 2 * _IOVEC), _Memory(SLOTS * _MMSGHDR)
        pieces, words = iov.words(), headers.words()
        for i in range(SLOTS):
            pieces[4 * i] = self._packets.address + i * STRIDE
            pieces[4 * i + 1] = STRIDE
            pieces[4 * i + 2] = self._long.address + i * (MAX_PACKET - STRIDE)
            pieces[4 * i + 3] = MAX_PACKET - STRIDE
            words[8 * i + _NAME] = self._names.address + _NAME_STRIDE * i
            words[8 * i + _NAMELEN] = self._name_size
            words[8 * i + _IOV] = iov.address + 2 * _IOVEC * i
            words[8 * i + _IOVLEN] = 2
            if self._control_size:
                words[8 * i + _CONTROL] = self._control.address + self._control_size * i
                words[8 * i + _CONTROLLEN] = self._control_size
        self._receive_headers = ctypes.c_void_p(headers.address)
        lengths = headers.view.cast("I")[_LEN32 :: _MMSGHDR // 4]
        self._receive_lengths = tuple(lengths[:n] for n in range(SLOTS + 1))
        self._received_controls = words[_CONTROLLEN::8]
        return iov, headers

    def _lay_out_sending(self) -> tuple[_Memory, _Memory]:
        # One base more than there are replies: accumulate() also yields the end of the last.
        iov, headers = _Memory((SLOTS + 1) * _IOVEC), _Memory(SLOTS * _MMSGHDR)
        pieces, words = iov.words(), headers.words()
        for i in range(SLOTS):
            words[8 * i + _NAMELEN] = self._name_size
            words[8 * i + _IOV] = iov.address + _IOVEC * i
            words[8 * i + _IOVLEN] = 1
        self._send_address = headers.address
        self._send_pointer = ctypes.c_void_p(headers.address)
        self._send_words = words
        self._first = pieces
        self._bases = tuple(pieces[0::2][: n + 1] for n in range(SLOTS + 1))
        self._reply_lengths = tuple(pieces[1::2][:n] for n in range(SLOTS + 1))
        self._bytes_pointer = ctypes.c_char_p()
        self._pointer = memoryview(self._bytes_pointer).cast("B").cast("Q")
        self._answer_slots(range(SLOTS))
        self._moved = False
        return iov, headers

    def _lay_out_control(self) -> None:
        """Views to reset the fields that differ between a received and a sent control message."""
        self._interfaces: memoryview | None = None
        self._whole_controls = array("Q", [self._control_size] * SLOTS)
        if self._control_size:
            at = _CMSG_HEADER + (16 if self._v6 else 0)  # in6_pktinfo has the address first
            self._interfaces = self._control.view.cast("I")[at // 4 :: self._control_size // 4]

    def _answer_slots(self, slots: Iterable[int]) -> None:
        """Point sending slots 0, 1, … to the peers of the received `slots`."""
        words = self._send_words
        for i, slot in enumerate(slots):
            words[8 * i + _NAME] = self._names.address + _NAME_STRIDE * slot
            if self._control_size:
                words[8 * i + _CONTROL] = self._control.address + self._control_size * slot
                words[8 * i + _CONTROLLEN] = self._control_size

    def receive(self) -> int:
        """Fill the slots with queued packets; the number filled, 0 when none is queued."""
        n: int = _recvmmsg(self._fd, self._receive_headers, SLOTS, 0, None)
        if n <= 0:
            if ctypes.get_errno() not in _NOTHING:
                self.errors += 1
            return 0
        if self._interfaces is not None:
            # Both lengths are in and out. msg_namelen comes back unchanged, because a socket has
            # one family; the kernel changes msg_controllen, so it is set again.
            self._received_controls[:] = self._whole_controls
            self._interfaces[:] = _NO_INTERFACES
        return n

    def lengths(self, n: int) -> list[int]:
        """The lengths of the first n packets, in bytes; at most MAX_PACKET.

        A packet of exactly MAX_PACKET bytes may have been cut.
        """
        return self._receive_lengths[n].tolist()

    def blob(self, n: int) -> bytes:
        """The first STRIDE bytes of each of the first n packets; n * STRIDE bytes."""
        return bytes(self._packets.view[: n * STRIDE])

    def packet(self, i: int, length: int) -> bytes:
        """All `length` bytes of packet i."""
        start = i * STRIDE
        head = self._packets.view[start : start + min(length, STRIDE)]
        if length <= STRIDE:
            return bytes(head)
        start = i * (MAX_PACKET - STRIDE)
        return b"".join((head, self._long.view[start : start + length - STRIDE]))

    def clients(self, n: int) -> list[bytes]:
        """The packed addresses (4 or 16 bytes) that the first n packets came from."""
        names = bytes(self._names.view[: n * _NAME_STRIDE])
        # sockaddr_in: family, port, address; sockaddr_in6: family, port, flow, address, scope.
        if self._v6:
            return [names[i : i + 16] for i in range(8, n * _NAME_STRIDE, _NAME_STRIDE)]
        return [names[i : i + 4] for i in range(4, n * _NAME_STRIDE, _NAME_STRIDE)]

    def peer(self, i: int) -> Peer:
        """Where packet i came from, and to which address of this host it was sent."""
        at, control = i * _NAME_STRIDE, i * self._control_size
        return peer_of(
            bytes(self._names.view[at : at + self._name_size]),
            bytes(self._control.view[control : control + self._control_size]),
        )

    def send(self, outcomes: Sequence[object]) -> int:
        """Send the outcomes that are `bytes` to their slots, in order; the number sent."""
        try:
            joined = b"".join(cast("Sequence[bytes]", outcomes))
        except TypeError:
            return self._send_some(outcomes)
        if self._moved:
            self._answer_slots(range(SLOTS))
            self._moved = False
        return self._send_joined(joined, cast("Sequence[bytes]", outcomes))

    def _send_some(self, outcomes: Sequence[object]) -> int:
        slots = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, bytes)]
        if not slots:
            return 0
        self._answer_slots(slots)
        self._moved = True
        replies = [outcome for outcome in outcomes if isinstance(outcome, bytes)]
        return self._send_joined(b"".join(replies), replies)

    def _send_joined(self, joined: bytes, replies: Sequence[bytes]) -> int:
        n = len(replies)
        self._bytes_pointer.value = joined
        if n == 1:
            self._first[0] = self._pointer[0]
            self._first[1] = len(joined)
        else:
            sizes = array("Q", map(len, replies))
            self._reply_lengths[n][:] = sizes
            self._bases[n][:] = array("Q", accumulate(sizes, initial=self._pointer[0]))
        sent: int = _sendmmsg(self._fd, self._send_pointer, n, 0)
        return n if sent == n else self._send_rest(sent, n)

    def _send_rest(self, sent: int, n: int) -> int:
        """Continue after sendmmsg stopped early; `sent` is what it returned, -1 for an error.

        The kernel reports an error only if it concerns the first datagram of a call.
        """
        done = good = max(sent, 0)
        while done < n:
            at = ctypes.c_void_p(self._send_address + done * _MMSGHDR)
            sent = _sendmmsg(self._fd, at, n - done, 0)
            if sent > 0:
                done += sent
                good += sent
            elif ctypes.get_errno() == errno.EINTR:
                continue
            elif ctypes.get_errno() in ONE_DATAGRAM:
                self.errors += 1
                done += 1
            else:
                self.errors += n - done
                break
        return good
