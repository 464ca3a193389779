"""The command line: thin commands over the library, one module each.

Exit codes: 0; 2 for anything wrong with input or use, with one message; 3 where ``score`` flags
more than ``--fail-above`` allows; 4 where ``watch`` has new alarms, 5 where it found drift; 130
when interrupted.
JAX and Polars are imported inside the commands, so that help appears at once.
"""

import atexit
import gc
import os
import resource
import signal
import stat
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TextIO

import typer

from advae.cli import console, outlets
from advae.cli.demo import demo
from advae.cli.doctor import doctor
from advae.cli.evaluate import evaluate
from advae.cli.export import export
from advae.cli.fit import fit
from advae.cli.info import info
from advae.cli.report import report
from advae.cli.review import review
from advae.cli.score import score
from advae.cli.serve import serve
from advae.cli.shared import STOPPING, Interrupt, interrupt_later
from advae.cli.threshold import threshold
from advae.cli.watch import watch
from advae.errors import AdVAEError, InputError

PROGRAMS = Path("advae", "compiled")
"""Where the user's cache folder has compiled programs."""

CACHE_FAULT = "persistent compilation cache"
"""What JAX names where it warns of a kept program."""

LEAST_ADDRESS_SPACE = 2304 * 2**20
"""Bytes, measured on two cores. Most is never touched: files of libraries, stacks of threads."""

INTERRUPTED = 130
"""The exit code after Ctrl-C and the like."""

_show_warning = warnings.showwarning

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"advae {version('advae')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def advae(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Learn what normal rows of a table look like; find the rows that are not, and say why."""
    _check_address_space()


def _check_address_space() -> None:
    """Refuse to begin where JAX and Polars find no room: they would not say so, but break or wait.

    Raises
    ------
    InputError
        If the limit of this process is too low.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise InputError(
            f"the address space of this process is limited to {limit / 2**20:,.0f} MiB, and what "
            f"computes takes at least {LEAST_ADDRESS_SPACE / 2**20:,.0f} MiB. Raise the limit "
            "(ulimit -v, in KiB), or limit resident memory in another way, such as a container's."
        )


# Each command with one example, in the order of a first use.
COMMANDS: dict[Callable[..., None], str] = {
    demo: "advae demo",
    doctor: "advae doctor normal.csv --ignore case",
    fit: "advae fit normal.csv -o model.advae --ignore case",
    score: "advae score model.advae new.csv -o scores.csv --keep case --explain 3",
    watch: "advae watch model.advae incoming --state watch.json --to alarms",
    report: "advae report model.advae new.csv -o report.html --keep case",
    evaluate: "advae evaluate model.advae new.csv --label malignant",
    threshold: "advae threshold model.advae --alpha 0.01",
    review: "advae review model.advae --data new.csv --verdicts verdicts.csv --key case",
    info: "advae info model.advae",
    serve: "advae serve model.advae --port 8000",
    export: "advae export model.advae -o model.onnx",
}
for command, example in COMMANDS.items():
    app.command(epilog=f"Example: [bold]{example}[/]")(command)


def main() -> None:
    """Run the command line; every foreseen error ends in one message and exit code 2.

    Typer itself ends with 2 after wrong use, and with 130 after KeyboardInterrupt.
    """
    _use_compilation_cache()
    # Python would look through all modules for garbage when it ends, in a fifth of a second.
    atexit.register(gc.freeze)
    try:
        outlets.prepare()
        try:
            app()
        finally:
            sys.stdout.flush()  # what is not written yet may fail, too
    except AdVAEError as error:
        sys.exit(_fail(f"error: {console.printable(console.as_given(str(error)))}", 2))
    except MemoryError:
        sys.exit(_fail("error: not enough memory. Give fewer rows or a smaller model.", 2))


def program() -> None:
    """Run `main` as a process of its own, which SIGTERM and SIGHUP interrupt as Ctrl-C does.

    After an interruption the process ends at once, and no destructor of XLA runs beside what still
    compiles. Where Python could only print an interruption, as in a callback of its
    garbage collector, the signal is sent again.
    """
    sys.unraisablehook = again_if_interrupted
    warnings.showwarning = forget_damaged_programs
    heeded = [name for name in STOPPING if signal.getsignal(name) != signal.SIG_IGN]
    code: int | str | None = 0
    try:
        for name in heeded:
            signal.signal(name, Interrupt())
        try:
            main()
        finally:
            for name in heeded:  # the work is done, or given up
                signal.signal(name, signal.SIG_IGN)
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        if not (Interrupt.raised or isinstance(error, KeyboardInterrupt)):
            raise
        code = INTERRUPTED
    if code and Interrupt.raised:
        code = INTERRUPTED
    if code == INTERRUPTED:
        if Interrupt.raised and not Interrupt.told:
            with suppress(Exception):
                console.remark("interrupted")
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        if (paths := sys.modules.get("advae.files.paths")) is not None:
            paths.forget_standard_input()
        os._exit(INTERRUPTED)
    sys.exit(code)


def again_if_interrupted(ignored: "sys.UnraisableHookArgs") -> None:
    """Send an interruption again that Python could only print; print all else."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        interrupt_later()  # when the callback is over
    else:
        sys.__unraisablehook__(ignored)


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)  # noqa: T201
    return code


def _use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that the next start is quick."""
    # Read by JAX when it is imported, which is after this; a user's own setting stands.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and (folder := _private_folder()) is not None:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)


def _private_folder() -> Path | None:
    """Return a folder for compiled programs that this user alone can write to; None if none can be.

    What lies in it is run. Without one, as in a container that is read-only, JAX would warn at
    every start; and a home that does not exist is meant not to.
    """
    asked = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        base = asked if asked.is_absolute() else Path.home() / ".cache"
        folder = base / PROGRAMS
        if not base.is_absolute():
            return None
        for each in (base, folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
        found = folder.stat()
    except (OSError, RuntimeError):  # or a user without a home
        return None
    own = found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder if own and os.access(folder, os.W_OK) else None


def forget_damaged_programs(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Remove the programs that advae keeps where JAX warns of one; show all other warnings.

    A full disk or a kill leaves half a program. JAX compiles it anew each time and warns, but it
    puts the whole one in its place only if there is none.
    """
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    if CACHE_FAULT not in str(message) or not Path(folder).match(f"*/{PROGRAMS}"):
        _show_warning(message, category, filename, lineno, file, line)
        return
    for kept in Path(folder).iterdir():
        with suppress(OSError):
            kept.unlink()
