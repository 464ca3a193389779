"""The picture of a report on the first page: ``python -m benchmarks.report_picture``.

Makes the demo, opens its report in Chromium, and keeps the first screen and an opened row.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from advae.cli.demo import run

PICTURE = Path("docs") / "report.png"
WIDTH, HEIGHT = 1000, 1180


def photograph(page: Path, picture: Path) -> None:
    """Keep what a reader sees first of a report, with the first row opened."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        sheet = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme="light",
            reduced_motion="reduce",
        )
        sheet.goto(page.resolve().as_uri())
        sheet.locator(".open").first.click()
        # The headline and the rows: what lies between them is for a second look.
        for hidden in sheet.locator(".remarks, #stories").all():
            hidden.evaluate("(part) => { part.hidden = true; }")
        sheet.evaluate("scrollTo(0, 0)")
        sheet.screenshot(path=str(picture))
        browser.close()


def main(
    folder: Annotated[Path | None, typer.Option(help="Of a demo that was made already.")] = None,
    output: Annotated[Path, typer.Option(help="PNG to write.")] = PICTURE,
) -> None:
    """Make the picture."""
    with tempfile.TemporaryDirectory() as temporary:
        if folder is None:
            folder = Path(temporary) / "demo"
            run(folder)
        photograph(folder / "report.html", output)
    print(f"{output}: {output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    typer.run(main)
