"""The programs in examples/ run, and print what docs/examples.md says but for the last digits."""

import contextlib
import io
import re
import runpy

import pytest

from examples.__main__ import FOLDER, ORDER, PAGE, section

SECTIONS = re.split(r"^(?=## )", PAGE.read_text(), flags=re.MULTILINE)[1:]


def stable(printed: str) -> list[str]:
    """Return the lines of an output without their numbers, which can differ between machines."""
    return [re.sub(r"\d[\d.,%]*", "#", line) for line in printed.splitlines()]


def test_every_example_is_on_the_page() -> None:
    assert {path.stem for path in FOLDER.glob("[!_]*.py")} == set(ORDER)
    assert len(SECTIONS) == len(ORDER)


@pytest.mark.parametrize(("name", "shown"), list(zip(ORDER, SECTIONS, strict=True)))
def test_an_example_prints_what_the_page_says(
    name: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "service_client":
        pytest.importorskip("fastapi", reason="needs the extra serve")
    # In this process, so that examples with tables of one kind share what is compiled.
    monkeypatch.syspath_prepend(str(FOLDER))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    was = re.search(r"```text\n(.*?)```", shown, re.DOTALL)
    assert was is not None
    assert stable(printed.getvalue()) == stable(was[1])
    assert section(name, was[1]).strip() == shown.strip()
