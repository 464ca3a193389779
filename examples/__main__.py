"""Run all examples and write their page: ``python -m examples``."""

import ast
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs" / "examples.md"
ORDER = ("payments", "sensors", "flights", "customers", "service_client", "weekly_watch")

HEAD = """# Examples

Six programs that make a small table each, and do one job with it. They are in the folder
`examples`; this page has their code, and what they print (`python -m examples` runs them and writes
it). They learn from few rows, so that each takes seconds.
"""


def output(name: str) -> str:
    """Run an example in a process of its own; return what it prints."""
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def section(name: str, printed: str) -> str:
    """Return the part of the page on an example: its docstring, output and code."""
    code = (FOLDER / f"{name}.py").read_text()
    title, _, about = (ast.get_docstring(ast.parse(code)) or "").partition(":")
    body = code.partition('"""\n\n')[2]
    return (
        f"## {title}\n\n{about.strip().capitalize()}\n\n"
        f"`python examples/{name}.py` prints\n\n```text\n{printed}```\n\n```python\n{body}```\n"
    )


if __name__ == "__main__":
    PAGE.write_text("\n".join([HEAD, *(section(name, output(name)) for name in ORDER)]))
