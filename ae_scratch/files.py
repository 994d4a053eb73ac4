"""Files that a user owns, which are replaced as a whole or not at all, and the folder for those that the package makes.

What is new is written beside the old, reaches the disk (fsync), takes its name (rename), and the name reaches the disk.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NAMELESS = getattr(os, "O_TMPFILE", 0)  # of Linux: a file without a name, which is gone with the process that writes it
WITHOUT = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)  # what file systems or kernels that lack it answer


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the name of a file to write beside ``path``; what was written there replaces ``path`` at the end, if nothing failed.

    The name is unlike that of any other process or thread; after an error, KeyboardInterrupt included, no such file is left.
    A symbolic link stays one: the file it points to is replaced. Raises OSError for a folder or a device, and for a folder
    that does not exist.
    """
    path = replaceable(path)
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            _finish(file, path)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def replacement(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a new file to write to, which replaces ``path`` at the end, if nothing failed: as ``replacing`` does, but a process
    that is killed leaves nothing behind either.

    Linux has files without a name. This one gets its first, ".NAME.part", when it is complete and on the disk, and its second at
    once; who is killed between the two leaves a file that is gone after the next such call. On other systems, and on file
    systems that lack it, it has the name that ``replacing`` gives, and stays if its process is killed.
    """
    path = replaceable(path)
    nameless = _nameless_file(path.parent)
    if nameless is None:
        with replacing(path) as part, open(part, "xb") as file:
            yield file
        return
    with os.fdopen(nameless, "wb") as file:
        yield file
        _finish(file, path)
        _give_name(file, path)
    _sync_folder(path.parent)


def replaceable(path: str | os.PathLike[str]) -> Path:
    """Return the file that a path leads to, through symbolic links; OSError unless it is a regular one, or a new name in a
    folder that exists."""
    path = Path(os.path.realpath(os.fsdecode(path)))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected the name of a file, got that of a folder", str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "expected the name of a regular file, got that of a device or pipe", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder for this file does not exist: make it first", str(path))
    return path


def _nameless_file(folder: Path) -> int | None:
    """A descriptor of a new file without a name in the folder; None where there is no such thing."""
    if not NAMELESS or not os.path.exists("/proc/self/fd"):
        return None
    try:
        return os.open(folder, os.O_WRONLY | NAMELESS, 0o666)
    except OSError as error:
        if error.errno in WITHOUT:
            return None
        raise


def _finish(file: BinaryIO, path: Path) -> None:
    """Bring a file to the disk, with the permissions of the one that it replaces."""
    if path.exists() and hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
    file.flush()
    os.fsync(file.fileno())  # or a power failure could leave the new name on old or missing content


def _give_name(file: BinaryIO, path: Path) -> None:
    """Let a complete file without a name replace ``path``.

    Whoever finds the name taken does first what its owner was about to do when he was killed, or is about to: so everyone's file
    comes to stand at ``path``, and nothing is left, whatever happens at the same time.
    """
    part, own, linked = path.with_name(f".{path.name}.part"), f"/proc/self/fd/{file.fileno()}", False
    try:
        while not linked:
            with suppress(FileExistsError):
                os.link(own, part, src_dir_fd=file.fileno())  # so called, Python follows the link in /proc
                linked = True
            with suppress(FileNotFoundError):  # somebody has done that already
                os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            if os.path.samestat(os.stat(part), os.fstat(file.fileno())):
                part.unlink()
        raise


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
