"""The command ``advae``, which is ``python -m advae``, too."""

import signal


def program() -> None:
    """Load the command line and run it."""
    # Nothing is begun while modules are loaded: an interruption ends the process as a program that
    # knows of none, not in a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from advae.cli import program as run

    run()


if __name__ == "__main__":
    program()
