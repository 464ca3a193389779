"""What a fresh Python process does."""

import subprocess
import sys


def loaded_modules(names: str) -> set[str]:
    """Return the modules of advae that importing these, separated by commas, loads."""
    program = (
        f"import sys, {names}; print(*(name for name in sys.modules if name.startswith('advae.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.removeprefix("advae.") for name in done.stdout.split()}
