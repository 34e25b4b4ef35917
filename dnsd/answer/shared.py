"""What all engines of a process share.

In `answer/` (pure: query bytes to reply bytes). Change here: state that does not depend on a view.

With views, a worker has many engines. They share all state that depends only on the configuration
and on the state of the data, so that another view costs little more than its names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dnsd.answer.fast import Shapes
from dnsd.answer.gate import Access
from dnsd.answer.outcome import Counters
from dnsd.answer.settings import EngineConfig
from dnsd.answer.transport import Transport

# Replies remembered by all engines of a process together, of about 300 octets each. When the
# budget is used up, nothing is added until a table changes: the names queried most are likely
# among the first, and a query that is not remembered pays one lookup. Only names of the table
# are remembered, never names or EDNS options that a client makes up.
REMEMBERED_REPLIES = 16_384
Kept = Callable[[bytes, bytes, bytes, bool, int], bytes | None]


class Shared:
    """Configuration, rights of clients, shapes, counters, and the budget of remembered replies.

    `kept`: the cache of upstream replies, or None. It maps key (name, type and class,
    `Shape.kept`), packet, question as in the query, EDNS, and room to the reply, or None.
    `budget`: how many more replies may be remembered.
    """

    __slots__ = ("access", "budget", "config", "counters", "kept", "shapes", "transports")

    def __init__(self, config: EngineConfig, transports: Iterable[Transport]) -> None:
        """`transports`: those that queries come over, each at its index.

        Raises ValueError for text that is not a network.
        """
        self.config, self.transports = config, tuple(transports)
        self.access = Access(config)
        self.shapes = Shapes(config, self.transports)
        self.counters = Counters(len(self.transports))
        self.budget = REMEMBERED_REPLIES
        self.kept: Kept | None = None
