"""Numbers and dates that are learned as categories, or refused for it: that is said."""

import re
from pathlib import Path

import polars as pl
import pytest
from command_line import Run

from advae.errors import InputError
from advae.files.source import open_source
from advae.tables.encoder import TableEncoder, misreading

NUMBERS = "holds numbers written like"
DATES = "holds dates in a form"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1", "2", "-"], r"holds numbers, except for texts such as '-': leave"),
        (["1.5", "2", "?", "n.a."], r"holds numbers, except for texts such as '\?', 'n.a.'"),
        (["1", "2", "#DIV/0!"], "holds numbers, except for texts such as '#DIV/0!'"),
        (["5%", "10 %"], NUMBERS),
        (["$5", "$1,234.50", "-$3"], NUMBERS),
        (["5 €", "1.234,50 €"], NUMBERS),
        (["1,234.5", "999.0"], NUMBERS),
        (["1 234,5", "1\u202f234", "-"], NUMBERS),
        (["1'234", "5"], NUMBERS),
        (["(5)", "3"], NUMBERS),
        (["1_000", "2_000"], NUMBERS),
        (["1.5 kg", "2 kg"], "holds numbers with units, such as '1.5 kg', '2 kg': write the num"),
        (["5ms", "12 s"], "holds numbers with units"),
        (["00:12:30", "31:02:00"], "holds times or durations, .* write durations as numbers"),
        (["12/31/2025", "01/02/2025"], DATES),
        (["31.12.25", "01.01.25"], DATES),
        (["2025-01-31", "31.12.2025"], "holds dates in two forms, such as '2025-01-31' and '31"),
        (["31.12.2024", "2025-01-31"], "holds dates in two forms, such as '2025-01-31' and '31"),
        (["1/31/2025 3:04 PM", "2/1/2025 4:00 AM"], DATES),
        (["2025-01-31", "2025-02-01"], "holds dates as texts: convert it"),
        (["2025-01-31T12:00:00", "2025-02-01T00:00:00"], "holds dates as texts: convert it"),
    ],
)
def test_what_texts_seem_to_hold(texts: list[str], said: str) -> None:
    table = TableEncoder.fit(pl.DataFrame({"n": range(4 * len(texts)), "t": texts * 4}))
    assert [note for note in table.notes(trend=False) if "Learned as categories, but 't'" in note]
    assert re.match(said, misreading(texts))


@pytest.mark.parametrize(
    "texts",
    [
        ["north", "south"],
        ["1", "2", "3"],
        ["001", "002"],
        ["S", "M", "40"],
        ["1.2.3", "1.2.4"],
        ["-", "?"],
        ["10-20", "20-30"],
        ["5", "unknown price"],
        ["10.0.0.1", "10.0.0.25"],
        ["4A", "4B", "5A", "12C", "7D", "9E", "9F"],
        ["16:9", "4:3"],
    ],
)
def test_what_is_a_category(texts: list[str]) -> None:
    assert not misreading(texts)


def test_the_user_is_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{row % 13},{row % 5}%\n" for row in range(60))
    path.write_text("n,share\n" + rows)
    done = run("doctor", path)
    assert "misread" in done.out
    done = run("fit", path, "-o", tmp_path / "m.advae", "--iterations", 200)
    assert done.code == 0
    said = " ".join((done.out + done.err).split())
    assert "Learned as categories, but 'share' holds numbers written like '0%'" in said


def test_years_of_two_digits_are_not_the_first_century(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{row},{1 + row % 28:02}.{1 + row % 12:02}.25\n" for row in range(99)]
    path.write_text("n,d\n" + "".join(rows))
    with pytest.raises(InputError, match=r"'d' holds dates in a form.* write them like 2024-12-31"):
        TableEncoder.fit(open_source(path).read())
    path.write_text("n,d\n1,0001-01-01\n2,2025-12-31\n")
    assert open_source(path).read()["d"].dtype == pl.Date
