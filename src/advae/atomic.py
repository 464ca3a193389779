"""Where a new file goes, and how it takes its place: whole, or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from advae.errors import InputError


def target_of(path: Path) -> Path:
    """Return the file that writing to ``path`` makes or replaces: the one at the end of its links.

    Raises
    ------
    InputError
        If its folder does not exist or may not be written to, if it is a folder itself or another
        thing that must not be replaced, such as a device or a pipe, or if its name cannot be that
        of a file.
    """
    try:
        # Only a link at the end: a folder that is one is written to all the same.
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        str(target).encode()  # Polars takes no other names
        mode = target.stat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise InputError(
                f"cannot write {path}: folder {target.parent} does not exist. Create it first."
            ) from None
        mode = stat.S_IFREG
    except UnicodeEncodeError:
        raise InputError(
            f"cannot write {str(path)!r}: its name is not UTF-8. Choose another name."
        ) from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}. Choose another place.") from None
    except ValueError as error:  # a zero byte in the name
        raise InputError(f"cannot write {str(path)!r}: {error}. Choose another name.") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"cannot write {path}: it is a folder. Give the path of a file.")
    if not stat.S_ISREG(mode):
        raise InputError(
            f"cannot write {path}: it is a device, a pipe or a socket, and no file that could be "
            "replaced. Choose another place."
        )
    if not os.access(target.parent, os.W_OK):
        raise InputError(
            f"cannot write {path}: no permission for folder {target.parent}. Choose another place."
        )
    return target


@contextmanager
def replacing_path(path: Path) -> Iterator[Path]:
    """Lend an empty temporary file that takes the place of ``path`` when the block ends well.

    At every moment ``path`` is either the old file or the complete new one. After an exception the
    temporary file is gone; one that a killed process left, ``.NAME.*.unfinished`` beside ``path``,
    may be removed by hand. The new file has the permissions of the old one, and a link stays a
    link. Whoever writes the temporary file sees to it that its content is on the disk.

    Raises
    ------
    InputError
        If ``path`` cannot be written; see `target_of`.
    """
    target = target_of(path)
    # Cut, so that the name of the file may be as long as one can be.
    name = f".{target.name[:40]}.{secrets.token_hex(8)}.unfinished"
    temporary = target.parent / name
    try:
        # Made as every new file is, to see its permissions: whoever asks for the umask sets it, and
        # does so for all threads.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}. Choose another place.") from None
    try:
        usual = stat.S_IMODE(os.fstat(handle).st_mode)
        temporary.chmod(0o600)
        yield temporary
        old = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        temporary.chmod(usual if old is None else old)
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write {path}: {reason}. Choose another place.") from None
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open the file that `replacing_path` lends, for writing, and bring it to the disk."""
    with replacing_path(path) as temporary, temporary.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name durable too, not the contents alone, where the system lets us.

    A folder may be writable but not readable, and some network drives sync no folder. The file is
    in its place by then: to say that it could not be written would be wrong.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
