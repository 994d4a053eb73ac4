"""Files that a user owns, which are replaced as a whole or not at all, and the folder for those that the package makes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a file to write beside ``path``; what was written there replaces ``path`` at the end, if nothing failed.

    The name is unlike that of any other process or thread; after an error, KeyboardInterrupt included, no such file is left.
    """
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())  # or a power failure could leave the new name on old or missing content
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
