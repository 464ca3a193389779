"""Marking discoveries among rows that were scored elsewhere."""

from pathlib import Path

import polars as pl
import pytest

from advae.cli.discovery import DiscoveryMarker
from advae.errors import ConfigError, InputError

P_VALUES = (0.01, 0.5, 0.02, 0.9, 0.03)
"""At a rate of 0.1 the first, third and last are discoveries: 0.03 is at most 0.1 * 3 / 5."""


def scored(p_values: tuple[float, ...], first: int) -> pl.DataFrame:
    """Return rows as ``Detector.score_batches`` gives them."""
    rows = range(first, first + len(p_values))
    return pl.DataFrame({"row": rows, "p_value": p_values, "reason": [""] * len(rows)})


def test_rows_are_marked_by_the_p_values_of_all(tmp_path: Path) -> None:
    marker = DiscoveryMarker(0.1)
    frames = [scored(P_VALUES[:2], 0), scored(P_VALUES[2:], 2)]
    marked = pl.concat(marker.mark(frames, tmp_path))
    assert marked.columns == ["row", "p_value", "is_discovery", "reason"]
    assert marked["row"].to_list() == [0, 1, 2, 3, 4]
    assert marked["is_discovery"].to_list() == [True, False, True, False, True]
    assert (marker.rows, marker.found) == (5, 3)
    assert not list(tmp_path.iterdir())


def test_a_column_of_that_name_is_refused(tmp_path: Path) -> None:
    frame = scored(P_VALUES, 0).with_columns(is_discovery=True)
    with pytest.raises(InputError, match="'is_discovery' cannot be kept"):
        list(DiscoveryMarker(0.1).mark([frame], tmp_path))


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5])
def test_a_rate_is_between_0_and_1(rate: float) -> None:
    with pytest.raises(ConfigError, match=f"the false discovery rate is {rate}; expected one"):
        DiscoveryMarker(rate)
