"""Tables, goals, and the blocks of the document."""

from __future__ import annotations

import pytest

from bench import table
from bench.__main__ import PARTS


class TestFigures:
    def test_a_percentile_is_one_of_the_values(self) -> None:
        values = list(range(1, 1001))
        assert [table.percentile(values, part) for part in (0.5, 0.99, 0.999, 1.0)] == [
            *(500, 990, 999, 1000)
        ]
        assert table.percentile([7], 0.001) == 7

    def test_a_percentile_without_values_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no values"):
            table.percentile([], 0.5)

    def test_the_spread_is_relative_to_the_median(self) -> None:
        assert table.spread([4.0, 5.0, 3.0]) == pytest.approx(0.5)
        assert table.spread([4.0]) == 0.0

    def test_numbers_from_1000_have_no_decimals(self) -> None:
        assert table.number(1.234) == "1.23"
        assert table.number(123456.7) == "123,457"


class TestTable:
    def test_the_first_column_is_left_and_the_others_right(self) -> None:
        assert table.table(("what", "n"), [("hit", "1,000"), ("a miss", "2")]).splitlines() == [
            "| what   |     n |",
            "|--------|------:|",
            "| hit    | 1,000 |",
            "| a miss |     2 |",
        ]

    def test_a_row_with_too_few_cells_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="cells"):
            table.table(("a", "b"), [("1",)])


class TestGoal:
    @pytest.mark.parametrize(
        ("measured", "verdict"),
        [
            (1.3, "met"),
            (0.9, "met"),
            (1.95, "missed by 50 %"),
            (1.305, "missed by 0.4 %"),
            (None, "not measured"),
        ],
    )
    def test_a_missed_goal_has_the_difference_in_percent(
        self, measured: float | None, verdict: str
    ) -> None:
        assert table.Goal("A hit", 1.3, measured).verdict() == verdict

    def test_a_missed_goal_of_zero_has_the_number(self) -> None:
        assert table.Goal("lost", 0, 3, "queries").verdict() == "missed by 3.00 queries"
        assert table.Goal("lost", 0, 0).verdict() == "met"

    def test_a_row_has_the_unit(self) -> None:
        assert table.Goal("start", 2, 2.5, "s").row() == (
            *("start", "≤ 2.00 s", "2.50 s", "missed by 25 %"),
        )


class TestNoise:
    def test_a_quiet_machine_has_no_paragraph(self) -> None:
        assert table.noise([0.01, 0.02, 0.9]) == []

    def test_a_busy_machine_has_a_paragraph(self) -> None:
        assert "used 0.30 cores" in table.noise([0.01, 0.3, 0.4])[0]


class TestBlocks:
    TEXT = "before\n<!-- bench:cpu:begin -->\nold\n<!-- bench:cpu:end -->\nafter\n"

    def test_only_the_text_between_the_markers_changes(self) -> None:
        once = table.replace(self.TEXT, "cpu", "new\n")
        assert once == self.TEXT.replace("old", "new")
        assert table.replace(once, "cpu", "old") == self.TEXT

    @pytest.mark.parametrize("block", ["start", "cp"])
    def test_a_missing_block_is_an_error_that_names_its_marker(self, block: str) -> None:
        with pytest.raises(table.MarkerMissing, match=f"bench:{block}:begin"):
            table.replace(self.TEXT, block, "new")

    def test_the_document_has_each_block(self) -> None:
        text = table.PERFORMANCE.read_text(encoding="utf-8")
        for block in (*PARTS, "kube"):
            assert table.replace(text, block, "x") != text

    def test_the_line_on_the_machine_has_versions_and_no_date(self) -> None:
        line = table.machine(["NSD 4"])
        assert line.startswith("Measured on ")
        assert "CPython" in line
        assert line.endswith("; NSD 4.")
