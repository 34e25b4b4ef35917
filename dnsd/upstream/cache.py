"""The cache of upstream replies: compiled bodies, kept for as long as their TTLs allow.

In `upstream/` (data plane: external names). Change here: what is kept, for how long, and what
leaves.

An entry is the answer and authority section of a reply, as they stand after a question with the
name of the entry. So a hit is a dict lookup, and a reply is a concatenation. TTLs count down: their
offsets are known, and a body patched once serves every hit of the same second.

The key is name (lower case), type, class, DO, and CD, so no reply serves a different query. The
caller passes in the time.

Eviction is S3-FIFO (Yang et al., SOSP 2023). A new entry enters the *small* queue, a tenth of the
space. If it was hit there, it moves to the *main* queue when its turn comes; if not, it leaves, and
only a hash stays behind for a while. An entry that comes back while its hash is remembered goes
directly to main, where each round costs one of the hits that it collected. So a flood of names that
are queried once (a scan, an attack with random names) passes through the small queue and displaces
no popular entry. A hit costs one addition, unlike moving an element to the front of an LRU list.

The bounds are a number of entries and of octets. The octets of an entry are an estimate of
all its memory, both bodies included.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from struct import Struct as Packing

from dnsd.dns.message import CD, QR, RA, RD, Rcode
from dnsd.dns.names import Name, is_below
from dnsd.dns.records import Writer, read_reply
from dnsd.dns.types import Type
from dnsd.upstream.chain import Answer

_U32 = Packing("!I")
_NEVER = float("inf")
_MAX_HITS = 3  # hits that count in the main queue
_SMALL_SHARE = 10  # the small queue is one part in ten
_OVERHEAD = 750  # octets of an entry beside its bodies (objects, dict and queue slots)
_PREFETCH_SHARE = 10  # a popular entry is refreshed in the last tenth of its TTL
_MIN_PREFETCH_TTL = 5  # seconds; shorter TTLs would be refreshed all the time


class Entry:
    """One cached reply.

    `head`, `head_edns`: octets 2 to 11 of its reply, without and with an OPT record after it.
    `expires`, `refresh_at`: when its TTL ends, and when a popular entry is refreshed.
    `fast_until`: until then a hit is only a concatenation; 0 if it never is.
    `leads_to`: where another source continues the chain; such an entry is only part of a reply.
    `retry_at`: until then a stale entry is used without a query (RFC 8767 5, the failure
    recheck timer). `hits` since it was stored.
    """

    __slots__ = (
        "body",
        "cost",
        "errors",
        "expires",
        "fast_until",
        "head",
        "head_edns",
        "hits",
        "in_main",
        "key",
        "leads_to",
        "rcode",
        "refresh_at",
        "retry_at",
        "shown",
        "shown_at",
        "stored",
        "ttls",
    )

    def __init__(self, key: bytes, answer: Answer, ttl: float, now: float, prefetch: bool) -> None:
        name = key[:-5]
        writer = Writer(name)
        for record in answer.answer + answer.authority:
            writer.add(record)
        self.key = key
        self.body = bytes(writer.body)
        self.ttls = tuple(writer.ttls)
        self.rcode = answer.rcode
        self.leads_to = answer.leads_to
        self.errors = answer.errors
        counts = len(answer.answer).to_bytes(2, "big") + len(answer.authority).to_bytes(2, "big")
        low = RA | (CD if key[-1] & 1 else 0) | answer.rcode
        start = bytes((QR | RD, low)) + b"\x00\x01" + counts
        self.head = start + b"\x00\x00"
        self.head_edns = start + b"\x00\x01"
        self.stored = now
        self.expires = now + ttl
        worth = prefetch and ttl >= _MIN_PREFETCH_TTL and answer.rcode != Rcode.SERVFAIL
        self.refresh_at = self.expires - ttl / _PREFETCH_SHARE if worth else _NEVER
        whole = not answer.leads_to and not answer.errors
        self.fast_until = min(self.refresh_at, self.expires) if whole else 0.0
        self.retry_at = 0.0
        self.shown_at = 0
        self.shown = self.body
        self.hits = 0
        self.in_main = False
        self.cost = _OVERHEAD + 2 * len(self.body) + len(key) + 36 * len(self.ttls)

    @property
    def useful(self) -> bool:
        """Whether it is an answer and not a failure."""
        return self.rcode != Rcode.SERVFAIL

    def body_at(self, now: float) -> bytes:
        """The body with its TTLs counted down to `now`, which is before `expires`."""
        age = int(now - self.stored)
        if age != self.shown_at:
            out = bytearray(self.body)
            for at in self.ttls:
                (ttl,) = _U32.unpack_from(out, at)
                _U32.pack_into(out, at, ttl - age if ttl > age else 0)
            self.shown = bytes(out)
            self.shown_at = age
        return self.shown

    def stale_body(self, ttl: int) -> bytes:
        """The body with every TTL set to `ttl` seconds (RFC 8767 4: 30 is recommended)."""
        out = bytearray(self.body)
        for at in self.ttls:
            _U32.pack_into(out, at, ttl)
        return bytes(out)

    def answer(self, body: bytes) -> Answer:
        """Its records, parsed from one of its bodies."""
        message = b"\x00\x00" + self.head + self.key[:-1] + body
        reply = read_reply(message)
        return Answer(self.rcode, reply.answer, reply.authority, self.leads_to, self.errors)


def key_of(name: Name, rest: bytes, do: bool, cd: bool) -> bytes:
    """The key of a question: name in lower case, type and class, DO and CD."""
    return name + rest + _FLAGS[do << 1 | cd]


_FLAGS = (b"\x00", b"\x01", b"\x02", b"\x03")


class Cache:
    """Entries by key, bounded by count and octets. Not thread-safe."""

    def __init__(self, max_entries: int, max_bytes: int, stale_for: float = 0.0) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.stale_for = stale_for
        self.entries: dict[bytes, Entry] = {}
        self.bytes = 0
        self.evictions = 0
        self._small: deque[bytes] = deque()
        self._main: deque[bytes] = deque()
        self._small_bytes = 0
        self._small_entries = 0
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, key: bytes, now: float) -> Entry | None:
        """The entry, fresh or stale; None after `stale_for` seconds."""
        entry = self.entries.get(key)
        if entry is not None and now >= entry.expires + self._grace(entry):
            self._drop(entry)
            return None
        return entry

    def _grace(self, entry: Entry) -> float:
        return self.stale_for if entry.useful else 0.0

    def put(self, entry: Entry) -> None:
        """Stores an entry in place of the one with its key; others leave to make room."""
        if entry.cost > self.max_bytes // 4 or not self.max_entries:
            self.forget(entry.key)
            return
        old = self.entries.get(entry.key)
        if old is not None:
            entry.in_main = old.in_main
            # It was prefetched or came back after its end, which counts like a hit.
            entry.hits = min(old.hits, _MAX_HITS)
            self._count(old, -1)
        elif hash(entry.key) in self._ghosts:
            del self._ghosts[hash(entry.key)]
            entry.in_main = True
            self._main.append(entry.key)
        else:
            self._small.append(entry.key)
        self.entries[entry.key] = entry
        self._count(entry, 1)
        while self.bytes > self.max_bytes or len(self.entries) > self.max_entries:
            self._evict()

    def forget(self, key: bytes) -> None:
        """Drops the entry with this key, if any."""
        entry = self.entries.get(key)
        if entry is not None:
            self._drop(entry)

    def flush(self, name: Name | None = None) -> int:
        """Drops all entries, or those of one name; how many. Takes time linear in all."""
        if name is None:
            count = len(self.entries)
            self.entries.clear()
            self._small.clear()
            self._main.clear()
            self._ghosts.clear()
            self.bytes = self._small_bytes = self._small_entries = 0
            return count
        return self._drop_all([entry for entry in self.entries.values() if entry.key[:-5] == name])

    def flush_zones(self, apexes: Collection[Name]) -> int:
        """Drops the entries that have a name at or below these apexes, and returns how many.

        Those are entries of such names, and entries whose CNAMEs lead there. Takes time linear
        in all entries.
        """
        return self._drop_all(
            [entry for entry in self.entries.values() if _has_name_below(entry, apexes)]
        )

    def _drop_all(self, entries: list[Entry]) -> int:
        for entry in entries:
            self._drop(entry)
        return len(entries)

    def _count(self, entry: Entry, sign: int) -> None:
        self.bytes += sign * entry.cost
        if not entry.in_main:
            self._small_bytes += sign * entry.cost
            self._small_entries += sign

    def _drop(self, entry: Entry) -> None:
        del self.entries[entry.key]
        self._count(entry, -1)
        # Its key stays in a queue until its turn comes. If there are too many, they are swept.
        if len(self._small) + len(self._main) > 2 * len(self.entries) + 1_000:
            self._small = deque(key for key, e in self.entries.items() if not e.in_main)
            self._main = deque(key for key, e in self.entries.items() if e.in_main)

    def _evict(self) -> None:
        """Processes the head of the queue that has more than its share."""
        small_is_over = (
            self._small_bytes * _SMALL_SHARE > self.max_bytes
            or self._small_entries * _SMALL_SHARE > self.max_entries
        )
        if self._small and (small_is_over or not self._main):
            self._advance_small()
        elif self._main:
            self._advance_main()

    def _advance_small(self) -> None:
        entry = self.entries.get(self._small.popleft())
        if entry is None or entry.in_main:
            return  # it was dropped meanwhile
        if entry.hits:
            self._count(entry, -1)
            entry.in_main = True
            entry.hits = 0
            self._count(entry, 1)
            self._main.append(entry.key)
            return
        self._drop(entry)
        self.evictions += 1
        self._ghosts[hash(entry.key)] = None
        if len(self._ghosts) > self.max_entries:
            self._ghosts.popitem(last=False)

    def _advance_main(self) -> None:
        entry = self.entries.get(self._main.popleft())
        if entry is None or not entry.in_main:
            return
        if entry.hits:
            entry.hits = min(entry.hits, _MAX_HITS) - 1
            self._main.append(entry.key)
            return
        self._drop(entry)
        self.evictions += 1


_CNAME_FIRST = b"\xc0\x0c\x00\x05"  # an answer that begins with the CNAME of the question


def _has_name_below(entry: Entry, apexes: Collection[Name]) -> bool:
    names = [entry.key[:-5]]
    if entry.body.startswith(_CNAME_FIRST):
        names += [
            record.rdata.lower()
            for record in entry.answer(entry.body).answer
            if record.type == Type.CNAME
        ]
    return any(is_below(name, apex) for name in names for apex in apexes)
