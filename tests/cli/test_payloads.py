"""Names, values, labels, notes and file names that a terminal would obey are shown, not sent."""

import io
import json
import re
import sys
from pathlib import Path

import polars as pl
import pytest
from command_line import Result, Run
from payloads import ESCAPES, MARKUP, OTHERS, PAYLOADS, payload_table

from advae.files.sink import write_frames

RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u202e\u2066\ufeff]")


def test_no_command_sends_a_payload_to_the_terminal(run: Run, tmp_path: Path) -> None:
    word = "\x1b[31m[bold]<img src=x onerror=alert(1)>"
    folder = tmp_path / "\x1b]0;folder\x07[bold]"
    folder.mkdir()
    model, data, new = (
        folder / f"{word.replace('/', '')}{n}" for n in ("m.advae", "d.parquet", "n.parquet")
    )
    train = payload_table(1).with_columns(label=pl.lit("\x1b[1mnormal"))
    train.write_parquet(data)
    rows = payload_table(2)[:60]
    labels = ["\x1b[1mnormal" if row % 9 else PAYLOADS[row % 100] for row in range(60)]
    rows = rows.with_columns(pl.Series("label", labels), pl.lit("x").alias("\x1b[5mnew"))
    rows.write_parquet(new)
    verdicts = folder / "verdicts.parquet"
    pl.DataFrame(
        {"key": rows["key"][:40], "verdict": ["normal"] * 40, "\x1b[7mby": PAYLOADS[:40]}
    ).write_parquet(verdicts)
    label = ("--label", "label", "--normal", "\x1b[1mnormal")
    said: list[Result] = []

    def calls(*words: object, code: int = 0) -> None:
        said.append(run(*words))
        assert said[-1].code == code, said[-1].err
        found = RAW.search(said[-1].out + said[-1].err)
        assert found is None, (words[0], found[0], (said[-1].out + said[-1].err)[-2000:])

    calls("doctor", data, *label, "--ignore", "key")
    calls("fit", data, "-o", model, *label, "--ignore", "key", "--iterations", 20)
    scores = folder / "s.csv"
    calls("score", model, new, "-o", scores, "--explain", 3, "--keep", "key", "--groups")
    calls("report", model, new, "-o", folder / "r.html", "--keep", "key", *label)
    calls("evaluate", model, new, *label)
    calls("review", model, "--data", new, "--verdicts", verdicts, "--key", "key")
    calls("review", model)
    calls("info", model)
    json.loads(run("info", model, "--json").out)
    calls("threshold", model, "--value", 1)
    calls("threshold", model)
    calls("doctor", new, "--model", model)
    # What is wrong is named, and a name that is nowhere told.
    calls("score", model, folder / f"{word.replace('/', '')}.csv", code=2)
    calls("score", model, new, "--keep", f"{word}x", code=2)
    calls("fit", data, "-o", folder / "gone" / "m", "--normal", word, code=2)
    calls("doctor", data, "--ignore", PAYLOADS[0], "--only", PAYLOADS[1], code=2)
    calls("info", data, code=2)
    # What is kept comes out as it is.
    assert pl.read_csv(scores.read_bytes())["key"].to_list() == rows["key"].to_list()


@pytest.mark.parametrize("terminal", [True, False])
def test_scores_shown_on_a_terminal_have_no_escapes(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", out)
    frame = pl.DataFrame({"\x1b[1mname": [*ESCAPES, *MARKUP, *OTHERS]})
    write_frames([frame], None)
    assert (RAW.search(out.getvalue()) is None) is terminal
    assert terminal or out.getvalue() == frame.write_csv()
