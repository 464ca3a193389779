"""Methods compared: figures by hand, and the page that has them."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import comparison, rank_diagram
from benchmarks.accuracy.page import Measured, write_page
from benchmarks.accuracy.protocol import METHODS, OURS


def made_up(
    figures: dict[str, list[list[float | None]]], protocol: str = "shuffled"
) -> list[dict[str, object]]:
    """Return rows of methods with AP for each set and seed; None is a failed run."""
    return [
        {
            "protocol": protocol,
            "data_set": f"set{index}",
            "method": method,
            "settings": '{"iterations": null}',
            "seed": seed,
            "anomaly_share": 0.1,
            "roc_auc": value,
            "average_precision": value,
            "fit_seconds": 1.0,
            "score_seconds_per_1000": 0.5,
            "failure": None if value is not None else "took more than 60 s",
        }
        for method, sets in figures.items()
        for index, values in enumerate(sets)
        for seed, value in enumerate(values)
    ]


FIGURES: dict[str, list[list[float | None]]] = {
    OURS: [[0.8, 0.9], [0.5, 0.5], [0.2, 0.4]],
    "1-NN": [[0.7, 0.7], [0.6, 0.6], [0.3, 0.3]],
    "LOF": [[None, None], [0.4, None], [0.1, 0.1]],
}
SETS = ("set0", "set1", "set2")


def test_means_ranks_and_wins_by_hand() -> None:
    results = comparison.grid(made_up(FIGURES), "average_precision", METHODS, SETS, 2)
    assert results.methods == (OURS, "1-NN", "LOF")
    np.testing.assert_allclose(results.means, [[0.85, 0.5, 0.3], [0.7, 0.6, 0.3], [0.1, 0.25, 0.1]])
    np.testing.assert_allclose(results.by_seed[0], [0.5, 0.6])
    assert results.ranks.tolist() == [[1, 2, 1.5], [2, 1, 1.5], [3, 3, 3]]
    assert results.wins.tolist() == [2, 2, 0]
    auc = comparison.grid(made_up(FIGURES), "roc_auc", METHODS, SETS, 2)
    assert auc.of("LOF").tolist() == pytest.approx([0.5, 0.45, 0.1])
    assert auc.ranks[2].tolist() == [3, 3, 3]


def test_seeds_count_that_a_method_has_on_every_set() -> None:
    rows = made_up(FIGURES)[:-1]  # LOF lacks its last run
    results = comparison.grid(rows, "roc_auc", METHODS, SETS, 2)
    assert results.seeds.tolist() == [2, 2, 1]
    assert results.of("LOF").tolist() == [0.5, 0.4, 0.1]
    assert results.lost.tolist() == [[False] * 3, [False] * 3, [True, False, False]]
    assert comparison.grid(rows, "roc_auc", METHODS, (*SETS, "set3"), 2).methods == ()


def test_holm_by_hand() -> None:
    adjusted = comparison.holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.9, 0.8]) == [1.0, 1.0]
    assert comparison.holm([]) == []


def test_signed_ranks_by_hand() -> None:
    # All six gains positive: 2 of the 2**6 sign patterns are as extreme.
    assert comparison.signed_rank(np.arange(1.0, 7.0)) == pytest.approx(2 / 64)
    assert comparison.signed_rank(np.zeros(6)) == 1.0


def test_the_critical_difference_is_the_published_one() -> None:
    # The worked example of J. Demsar, JMLR 7 (2006): four methods on 14 data sets.
    assert comparison.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert comparison.groups(np.array([1.0, 1.5, 2.4, 4.0]), 1.0) == [(0, 1), (1, 2)]
    assert comparison.groups(np.array([1.0, 2.5]), 1.0) == []


def test_comparisons_by_hand() -> None:
    results = comparison.grid(made_up(FIGURES), "average_precision", METHODS, SETS, 2)
    first, second = comparison.compare(results, OURS, ["1-NN", "LOF"])
    # 0.15 better, 0.1 worse, and the same.
    assert (first.other, first.better, first.worse) == ("1-NN", 1, 1)
    assert first.difference == pytest.approx((0.15 - 0.1) / 3)
    assert (second.better, second.worse) == (3, 0)
    assert second.p == pytest.approx(0.25)
    assert second.adjusted == pytest.approx(0.5)


def test_the_page_has_the_numbers(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    rows = made_up(FIGURES) + made_up({"1-NN": [[0.8], [0.6], [0.4]]}, "paper")
    sets = {"shuffled": SETS, "paper": SETS}
    write_page(Measured(rows, [], [], sets, 2, "python -m benchmarks.accuracy"), page)
    text = page.read_text()
    assert f"| **{OURS}** | 2 | 55.00 ± 7.07 | 55.00 ± 7.07 | 1.50 | 1.50 | 2 |  |" in text
    assert "| LOF | 2 | 15.00 ± 7.07 |" in text
    assert "| LOF | 10.0† | 25.0† | 10.0 | 15.00 |" in text
    assert "| LOF | set0 | shuffled | took more than 60 s | 2 |" in text
    assert "| 1-NN | **80.0** | **60.0** | **40.0** | 60.00 |" in text
    assert "| LOF | +40.00 | 3 / 0 | 0.250 | 0.500 |" in text
    assert "5-NN" in text.split("Not measured")[1].split("\n")[0]
    assert "nan" not in text
    picture = page.with_name("critical_difference.svg")
    assert "(critical_difference.svg)" in text
    assert "1-NN" in picture.read_text()


def test_the_page_shows_precision_against_seconds(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    rows = made_up(FIGURES)
    shorter = [
        row | {"settings": '{"iterations": 300}', "fit_seconds": 0.2, "average_precision": 0.1}
        for row in rows
        if row["method"] == OURS
    ]
    # Not measured on all sets: left out.
    longer = [rows[0] | {"settings": '{"iterations": 9000}'}]
    sets = {"shuffled": SETS, "paper": ()}
    write_page(Measured(rows, [], shorter + longer, sets, 2, "command"), page)
    text = page.read_text()
    assert "| 300 | 0.2 | 10.00 |\n| **by rows** | 1.0 | 55.00 |\n" in text
    assert "9,000" not in text
    picture = page.with_name("precision_seconds.svg").read_text()
    assert "300, by rows iterations" in picture
    assert "LOF" in picture


def test_the_page_of_nothing_says_so(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    write_page(Measured([], [], [], {"shuffled": SETS, "paper": ()}, 2, "command"), page)
    assert OURS in page.read_text().split("Not measured")[1]


def test_the_diagram_is_the_same_each_time(tmp_path: Path) -> None:
    results = comparison.grid(made_up(FIGURES), "roc_auc", METHODS, SETS, 2)
    pictures = [tmp_path / name for name in ("a.svg", "b.svg")]
    for picture in pictures:
        rank_diagram.draw(results, picture, frozenset({OURS}))
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
