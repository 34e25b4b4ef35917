from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dnsd.dns.rrset import RRset
from dnsd.zone.schema import rrsets
from dnsd.zone.store import pack, tightened, unpack
from tests.zone.made import CONFIG, headless, piece

octets = st.binary(max_size=40)
sets = st.builds(
    RRset,
    octets,
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**31 - 1),
    st.lists(octets, max_size=3).map(tuple),
)


@given(st.lists(sets, max_size=5).map(tuple))
def test_what_is_packed_comes_back(some: tuple[RRset, ...]) -> None:
    loose = pack(some, tight=False)
    tight = pack(some, tight=True)
    assert unpack(loose) == unpack(tight) == some
    assert tightened(loose) == tightened(tight) == tight


def test_a_contributor_of_many_takes_little() -> None:
    some = rrsets(headless(piece(*(f"10.1.0.{n}" for n in range(200)), ports=["a/TCP/1"])), CONFIG)
    octets = sum(len(one.name) + sum(map(len, one.rdatas)) for one in some)
    assert len(pack(some, tight=True)) < octets / 5
