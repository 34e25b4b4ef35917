from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.dns.names import is_below, reverse_name, text_of
from dnsd.zone.reverse import PRIVATE, reverse_zones

four = st.tuples(st.ip_addresses(v=4), st.integers(0, 32))
six = st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
cidrs = (four | six).map(lambda one: str(ip_network(f"{one[0]}/{one[1]}", strict=False)))


class TestReverseZones:
    def test_without_configured_zones_the_private_ones_exist_as_needed(self) -> None:
        zones = reverse_zones(())
        assert zones.as_needed
        assert len(zones.apexes) == 1 + 16 + 1 + 64 + 2
        assert set(zones.apexes) == set(reverse_zones(PRIVATE).apexes)
        assert not reverse_zones(PRIVATE).as_needed

    def test_a_cidr_is_cut_at_octets_and_nibbles(self) -> None:
        def apexes(*cidrs: str) -> list[str]:
            return [text_of(apex) for apex in reverse_zones(cidrs).apexes]

        assert apexes("10.0.0.0/8") == ["10.in-addr.arpa."]
        assert apexes("0.0.0.0/0") == ["in-addr.arpa."]
        assert apexes("10.8.0.0/15") == ["8.10.in-addr.arpa.", "9.10.in-addr.arpa."]
        assert apexes("192.0.2.7/32") == ["7.2.0.192.in-addr.arpa."]
        assert apexes("fc00::/7") == ["c.f.ip6.arpa.", "d.f.ip6.arpa."]
        assert apexes("2001:db8::/31") == ["8.b.d.0.1.0.0.2.ip6.arpa.", "9.b.d.0.1.0.0.2.ip6.arpa."]

    @settings(deadline=None, max_examples=100)
    @given(st.lists(cidrs, min_size=1, max_size=3), st.ip_addresses(), st.integers(0, 2**130))
    def test_zones_cover_their_cidrs_and_no_other_address(
        self, some: list[str], anywhere: object, offset: int
    ) -> None:
        zones = reverse_zones(tuple(some))
        networks = [ip_network(cidr) for cidr in some]
        first = networks[0]
        inside = first[offset % first.num_addresses]
        for address in (ip_address(str(anywhere)), inside):
            covered = any(address in network for network in networks)
            assert zones.covers(address.packed) == covered
            below = [apex for apex in zones.apexes if is_below(reverse_name(address.packed), apex)]
            assert bool(below) == covered
