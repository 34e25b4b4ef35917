"""The storage of the zone: packed contributions, nodes, leaves, and implied leaves."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.cluster.objects import Key
from dnsd.dns.rrset import RRset
from dnsd.zone.store import Contribution, Node, Store, compact, pack, unpack
from dnsd.zone.zone import Zone
from tests.zone.made import CONFIG, headless, name, piece, put, rrsets

octets = st.binary(max_size=40)
sets = st.builds(
    RRset,
    octets,
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**31 - 1),
    st.lists(octets, max_size=3).map(tuple),
)


@given(st.lists(sets, max_size=5).map(tuple))
def test_packed_and_compressed_rrsets_are_unpacked_as_they_were(some: tuple[RRset, ...]) -> None:
    plain = pack(some, compressed=False)
    compressed = pack(some, compressed=True)
    assert unpack(plain) == unpack(compressed) == some
    assert compact(plain) == compact(compressed) == compressed


def test_the_names_of_a_contributor_compress_to_a_fifth() -> None:
    some = rrsets(headless(piece(*(f"10.1.0.{n}" for n in range(200)), ports=["a/TCP/1"])), CONFIG)
    size = sum(len(one.name) + sum(map(len, one.rdatas)) for one in some)
    assert len(pack(some, compressed=True)) < size / 5


WEB, DB = Key("Service", "default", "web"), Key("Service", "default", "db")
TOP, BASE, LEAF = name(""), name("web"), name("a.web")


def address(at: bytes) -> RRset:
    return RRset(at, 1, 5, (b"\x0a\0\0\1",))


class TestLeaves:
    @pytest.fixture
    def store(self) -> Store:
        store = Store(unpacked=False)
        store.nodes[TOP] = Node(0, None)
        store.put(WEB, Contribution((address(BASE), address(LEAF))))
        return store

    def test_a_name_without_a_node_above_it_cannot_be_a_leaf(self, store: Store) -> None:
        assert not store.add_leaf(LEAF, WEB)
        assert store.leaf(LEAF) is None

    def test_a_leaf_is_found_by_its_hash(self, store: Store) -> None:
        assert store.add_leaf(BASE, WEB)
        assert (store.leaf(BASE), store.find(BASE)) == (WEB, (address(BASE),))
        assert (store.nodes[TOP].children, len(store)) == (1, 2)

    def test_a_promoted_leaf_is_a_node_and_can_be_demoted_again(self, store: Store) -> None:
        store.add_leaf(BASE, WEB)
        node = store.promote(BASE)
        assert node is not None
        assert (store.leaf(BASE), store.find(BASE)) == (None, (address(BASE),))
        store.demote(BASE, node)
        assert store.leaf(BASE) == WEB

    def test_a_node_with_children_is_not_demoted(self, store: Store) -> None:
        store.add_leaf(BASE, WEB)
        node = store.promote(BASE)
        assert node is not None
        store.add_leaf(LEAF, WEB)
        store.demote(BASE, node)
        assert store.nodes[BASE] is node

    def test_a_leaf_below_a_node_of_its_contributor_is_implied_until_that_changes(
        self, store: Store
    ) -> None:
        store.add_leaf(BASE, WEB)
        node = store.promote(BASE)
        assert node is not None
        store.add_leaf(LEAF, WEB)
        for contributor in (DB, WEB, None):
            store.assign(BASE, node, contributor)
            assert store.leaf(LEAF) == WEB
            assert len(store) == 3

    def test_a_name_whose_hash_is_taken_has_to_be_a_node(self) -> None:
        store = Store(unpacked=False, digest=lambda name: 7)
        store.nodes[TOP] = Node(0, None)
        assert store.add_leaf(BASE, WEB)
        assert not store.add_leaf(name("db"), DB)

    def test_an_orphan_is_not_a_leaf_of_the_name_with_its_hash(self, store: Store) -> None:
        store.add_leaf(BASE, WEB)
        store.add_orphan(LEAF)
        assert store.leaf(LEAF) is None
        store.remove_orphan(LEAF)
        assert store.orphans == {}


class TestContributions:
    def test_a_contribution_outlives_many_others(self) -> None:
        store = Store(unpacked=True)
        keys = [Key("Service", "default", f"s{n}") for n in range(50)]
        for key in keys:
            store.put(key, Contribution((address(name(key.name)),)))
        for _ in store.compact_all():
            pass
        assert [store.contribution(key).rrsets for key in keys] == [
            (address(name(key.name)),) for key in keys
        ]
        assert dict(store.contributions()) == {key: (address(name(key.name)),) for key in keys}

    def test_an_empty_contribution_removes_the_contributor(self) -> None:
        store = Store(unpacked=False)
        store.put(WEB, Contribution((address(BASE),)))
        store.put(WEB, Contribution(()))
        assert store.contribution(WEB).rrsets == ()
        assert list(store.contributions()) == []


def test_a_name_takes_under_300_octets() -> None:
    def filled() -> Zone:
        zone = Zone(CONFIG, 7)
        for number in range(50):
            some = (f"10.1.{number}.{one}" for one in range(1, 9))
            put(zone, headless(piece(*some, ports=["http/TCP/80"]), name=f"db-{number}"))
        return zone

    filled()  # caches are filled once
    tracemalloc.start()
    try:
        zone = filled()
        size = tracemalloc.get_traced_memory()[0] / len(zone)
    finally:
        tracemalloc.stop()
    assert size < 300  # a name alone has 75 octets, and takes twice that in a dict
