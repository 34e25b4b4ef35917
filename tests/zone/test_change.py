"""Changes: what one edit did, and the arithmetic of serials."""

from __future__ import annotations

from dnsd.zone.change import Edit, newer
from tests.zone.test_zone import A, address, cause


class TestRfc1982:
    def test_a_serial_is_newer_across_the_wrap(self) -> None:
        assert newer(1, 0)
        assert newer(0, 2**32 - 1)
        assert not newer(5, 5)
        assert not newer(2**32 - 1, 0)


class TestEdit:
    ONE, TWO = address("web", "10.0.0.1"), address("web", "10.0.0.2")

    def test_an_edit_without_effect_is_not_a_change(self) -> None:
        edit = Edit()
        edit.served((self.ONE,), (self.ONE,))
        assert edit.change(2, A, cause(A)) is None

    def test_a_replaced_rrset_is_removed_and_added(self) -> None:
        edit = Edit()
        edit.served((self.ONE,), (self.TWO,))
        change = edit.change(2, A, cause(A))
        assert change is not None
        assert (change.removed, change.added) == ((self.ONE,), (self.TWO,))
        assert (change.serial, change.contributor, change.born) == (2, A, ())
