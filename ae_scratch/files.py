"""Files that a user owns, which are replaced as a whole or not at all, and the folder for those that the package makes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the name of a file to write beside ``path``; what was written there replaces ``path`` at the end, if nothing failed.

    The name is unlike that of any other process or thread; after an error, KeyboardInterrupt included, no such file is left.
    A symbolic link stays one: the file it points to is replaced. Raises OSError for a folder or a device, and for a folder
    that does not exist.
    """
    path = Path(os.path.realpath(os.fsdecode(path)))
    _require_replaceable(path)
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())  # or a power failure could leave the new name on old or missing content
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _require_replaceable(path: Path) -> None:
    """Raise OSError unless path is a regular file, or a new name in a folder that exists."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected the name of a file, got that of a folder", str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "expected the name of a regular file, got that of a device or pipe", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder for this file does not exist: make it first", str(path))


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power failure, where a folder can be opened: not on Windows, nor unread."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the answer of file systems that have no such thing
            raise
    finally:
        os.close(descriptor)


def cache_folder() -> Path:
    """Return the folder for the package's files in this user's cache; it may not exist.

    Linux: ``$XDG_CACHE_HOME`` or ``~/.cache``, macOS: ``~/Library/Caches``, Windows: ``%LOCALAPPDATA%``; in it ``ae_scratch``.
    """
    home = Path(os.path.expanduser("~"))  # stays "~" for a user who has no home
    if sys.platform == "darwin":
        base: str | Path = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base, "ae_scratch")
